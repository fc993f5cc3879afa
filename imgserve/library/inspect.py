"""Inspect one file: the facts of a valid image, or the problem of an invalid one."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from anyio import to_thread

from imgserve.errors import (
    ImageNotFound,
    ImgserveError,
    OriginalUnsettled,
    TooLarge,
    Unavailable,
    UnreadableImage,
    UnsupportedImage,
)
from imgserve.formats import FORMATS
from imgserve.library.means import Means
from imgserve.library.results import Details
from imgserve.model import Facts, ImageRecord, Limits, Origin, Original, Problem, bytes_version, focused_version
from imgserve.rendering.wire import InspectJob
from imgserve.rendering.workers import Workers

CHANGEABLE = frozenset({"title", "alt", "description", "tags", "metadata", "focal_point"})
"""What people say of an image; everything else follows from its bytes."""
FILE_NAME = "file_name"
"""Where among the metadata the name is kept that an uploaded file had, if its id does not tell it."""
_FOLDER_DIGITS = 2
_NAME_DIGITS = 20
"""With the folders 96 bits of the digest: no two pictures share them by chance."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An image that was found good, and what is to be recorded of it."""

    original: Original
    """In its place."""
    facts: Facts
    known: str | None
    """Version of the record that there is."""
    origin: Origin
    who: str = ""
    details: Details | None = None
    """What its uploader says; None for a file that somebody put there."""
    name: str = ""
    """Of the file that was uploaded, where the id does not tell it."""

    @property
    def image_id(self) -> str:
        """Whose finding it is."""
        return self.original.image_id


def is_same_file(recorded: str | None, file_version: str) -> bool:
    """Tell whether a recorded version is of these bytes, whatever the focal point."""
    return recorded is not None and bytes_version(recorded) == file_version


def tells_of_the_file(error: ImgserveError) -> bool:
    """Tell whether an error says that the file is no image that can be used, and trying again would not help."""
    return isinstance(error, UnreadableImage | UnsupportedImage | TooLarge)


def name_by_content(sha256: str, format_name: str, *, whole: bool = False) -> str:
    """Make an image id from a digest, in two levels of folders, of which none grows large."""
    first, second, rest = sha256[:_FOLDER_DIGITS], sha256[_FOLDER_DIGITS : 2 * _FOLDER_DIGITS], sha256[4:]
    return f"{first}/{second}/{rest if whole else rest[:_NAME_DIGITS]}.{FORMATS[format_name].extensions[0]}"


def decide(finding: Finding, before: ImageRecord | None, now: datetime) -> ImageRecord | None:
    """Make the record of an image; None to leave the one that there is, since it is of these bytes already.

    What people said stays, what the uploader says now replaces it, and texts of the file fill only what is empty then.
    Of a replaced file these include texts of the old one: nobody can tell them from what people wrote.
    """
    version = finding.original.file_version
    if before is not None and finding.details is None and _is_of(before, finding.facts.sha256, version):
        return None
    said = finding.details.said if finding.details else {}
    record = _filled(_from_facts(finding, now), finding)
    if before is not None:
        record = replace(record, **_kept(before, record))
    record = replace(record, **joined(said, record.metadata))
    return replace(record, version=focused_version(version, record.focal_point))


def joined(said: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Give what was said with its metadata added to what there are."""
    return {**said, "metadata": {**metadata, **said.get("metadata", {})}}


def _is_of(before: ImageRecord, sha256: str, version: str) -> bool:
    return is_same_file(before.version, version) and before.sha256 == sha256


def _from_facts(finding: Finding, now: datetime) -> ImageRecord:
    facts = finding.facts
    return ImageRecord(
        image_id=finding.image_id,
        version=finding.original.file_version,
        sha256=facts.sha256,
        format=facts.format,
        width=facts.width,
        height=facts.height,
        size=facts.size,
        frames=facts.frames,
        alpha=facts.alpha,
        color_space=facts.color_space,
        perceptual_hash=facts.perceptual_hash,
        dominant_color=facts.dominant_color,
        thumbhash=facts.thumbhash,
        origin=finding.origin,
        who=finding.who,
        created=now,
        changed=now,
    )


def _filled(record: ImageRecord, finding: Finding) -> ImageRecord:
    """Add what the file tells of itself."""
    facts = finding.facts
    named = {FILE_NAME: finding.name} if finding.name else {}
    return replace(
        record,
        title=facts.title,
        description=facts.description,
        tags=facts.keywords,
        metadata={**facts.metadata, **named},
    )


def _kept(before: ImageRecord, record: ImageRecord) -> dict[str, Any]:
    """Choose what there was before, where there was anything."""
    texts = {name: value for name in CHANGEABLE - {"metadata"} if (value := getattr(before, name))}
    return texts | {"metadata": {**record.metadata, **before.metadata}}


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


@dataclass(frozen=True, slots=True)
class Inspector:
    """Has facts read by the processes that render."""

    workers: Workers
    limits: Limits
    damaged: bool = False
    """Take what can be decoded of a broken file."""

    async def __call__(self, path: str, version: str, *, size: int, megapixels: float, background: bool) -> Facts:
        """Decode a file of this version and tell its facts; see `Inspect`."""
        if size > self.limits.original_bytes:
            raise TooLarge(f"The original has over {self.limits.original_bytes} bytes, the limit original_bytes.")
        job = InspectJob(path, version, self.limits, self.damaged)
        # Beyond the limit it is refused on its header, which takes no time.
        beyond = megapixels * 1e6 > self.limits.original_pixels
        return await self.workers.inspect(job, megapixels=0.0 if beyond else megapixels, background=background)
