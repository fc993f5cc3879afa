"""Looks at one file in its place: the facts of a good one, the problem of a bad one. Records nothing."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from imgserve.errors import (
    ImageNotFound,
    ImgserveError,
    OriginalUnsettled,
    Unavailable,
    UnreadableImage,
    UnsupportedImage,
)
from imgserve.model import Facts, Origin, Original, Problem
from imgserve.services.ingest.deciding import Finding, is_same_file, tells_of_the_file
from imgserve.services.ingest.means import Means

_ANY = "any"
"""Stands for a version that cannot be told now."""

_BYTES_A_PIXEL = 0.25
"""Where a header does not tell the size: photographs have a quarter of a byte a pixel or more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which file is to be looked at, and what is known of it."""

    image_id: str
    origin: Origin
    who: str = ""
    background: bool = True
    known: str | None = None
    """Version of its record."""
    known_problem: str | None = None
    """Version of the file that was no image that could be used, where it has no record."""
    version: str = ""
    """Of the file, where whoever met it has told; else a file in no known format has none, and is tried again once."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A file that is no image, or none that can be used."""

    asked: Asked
    problem: Problem


@dataclass(frozen=True, slots=True)
class Same:
    """A file whose record, or problem, is of these bytes already."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A file that is not there."""


class Looking:
    """Looks at files."""

    def __init__(self, means: Means) -> None:
        """Take the parts."""
        self._means = means

    async def look(self, asked: Asked) -> Finding | Trouble | Same | Gone:
        """Look at a file as it is now.

        Raises:
            OriginalUnsettled, OriginalChanged, Busy, Unavailable: it cannot be told now; to be tried again.
        """
        version = asked.version
        try:
            original = await to_thread.run_sync(self._means.originals.stat, asked.image_id)
            if is_same_file(asked.known, original.file_version) or asked.known_problem == original.file_version:
                return Same()
            version = original.file_version
            facts = await self._facts(original, background=asked.background)
        except ImageNotFound:
            await self.sure_that_it_is_gone()
            return Gone()
        except ImgserveError as error:
            if not tells_of_the_file(error):
                raise
            now = self._means.rules.clock()
            return Trouble(asked, Problem(asked.image_id, version, error.code, error.detail, now))
        return Finding(original, facts, asked.known, asked.origin, asked.who)

    async def are_gone(self, ids: Sequence[str]) -> list[bool]:
        """Tell of each whether there is no file."""
        return [version is None for version in await to_thread.run_sync(self._versions, ids)]

    async def changed(self, found: Sequence[Finding | Trouble]) -> list[str]:
        """List the images whose files are others now than those that were looked at.

        Another process may have placed one and recorded it before this one did: whoever writes last looks again.
        """
        findings = [one for one in found if isinstance(one, Finding)]
        now = await to_thread.run_sync(self._versions, [one.image_id for one in findings]) if findings else []
        return [
            one.image_id
            for one, version in zip(findings, now, strict=True)
            if version not in {one.original.file_version, _ANY}
        ]

    async def sure_that_it_is_gone(self) -> None:
        """Make sure that it is a file that is missing, and not the folder.

        Raises:
            Unavailable: the folder cannot be read; everything below it would seem to be deleted.
        """
        if not await to_thread.run_sync(self._means.originals.readable):
            raise Unavailable("The folder of originals cannot be read right now.", retry_after=5)

    async def is_there(self, image_id: str) -> bool:
        """Tell whether there is a file, an image or not."""
        try:
            await to_thread.run_sync(self._means.originals.stat, image_id)
        except ImageNotFound:
            return False
        except ImgserveError as error:
            return tells_of_the_file(error) or isinstance(error, OriginalUnsettled)
        return True

    async def _facts(self, original: Original, *, background: bool) -> Facts:
        try:
            return await self._means.inspect(
                original.path,
                original.file_version,
                size=original.size,
                megapixels=original.megapixels or guessed_megapixels(original.size),
                background=background,
            )
        except UnreadableImage as error:
            if await to_thread.run_sync(_age, original) < self._means.rules.settle:
                raise OriginalUnsettled(retry_after=2) from error
            raise

    def _versions(self, ids: Sequence[str]) -> list[str | None]:
        """Tell the file versions of originals; None where there is no file."""
        return [self._version(image_id) for image_id in ids]

    def _version(self, image_id: str) -> str | None:
        try:
            return self._means.originals.stat(image_id).file_version
        except ImageNotFound:
            return None
        except (UnsupportedImage, OriginalUnsettled):
            return ""
        except ImgserveError:
            return _ANY  # cannot be told now


def _age(original: Original) -> float:
    """Tell how many seconds ago a file was last written to, whatever time of modification a copy gives it."""
    with contextlib.suppress(OSError):
        changed = Path(original.path).stat().st_ctime
        return min(abs(time.time() - original.modified_ns / 1e9), abs(time.time() - changed))
    return 0.0  # gone or replaced just now


def guessed_megapixels(size: int) -> float:
    """Guess how much there is to decode where a header does not tell."""
    return size / _BYTES_A_PIXEL / 1e6
