"""Renditions of many images, as URLs, as new originals or as one ZIP archive."""

import contextlib
import json
import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from anyio import to_thread
from zipstream import ZIP_STORED, ZipStream

from imgserve.catalog import ImageSearch, Selection
from imgserve.errors import BadRequest, ImgserveError
from imgserve.http.negotiation import AcceptClass
from imgserve.images.batches import count, each, map_ordered, retry_transient
from imgserve.library.convert import Converter, Made, Steps
from imgserve.library.results import Accepted

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\\ud800-\udfff\u202a-\u202e\u2066-\u2069]')
"""What some system does not have in names, or takes for something else; and what turns the direction of text."""
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_LONGEST = 100
"""Characters of a part, with up to 255 bytes on any system, and room for a number."""


class ArchiveNames:
    """Gives names, none of which leads out of where they are unpacked, nor over another."""

    def __init__(self, *reserved: str) -> None:
        """Take names that are taken already."""
        self._files = {_alike(name) for name in reserved}
        self._folders: set[str] = set()

    def name(self, image_id: str, extension: str) -> str:
        """Name a picture like its image, with the extension of what was made of it."""
        *folders, last = [_safe(part) for part in image_id.split("/") if part not in {"", ".", ".."}] or ["image"]
        folder = self._folder(folders)
        stem = last.rpartition(".")[0] or last
        name, number = f"{folder}{stem}.{extension}", 1
        while _alike(name) in self._files or _alike(name) in self._folders:
            number += 1
            name = f"{folder}{stem} ({number}).{extension}"
        self._files.add(_alike(name))
        return name

    def _folder(self, parts: list[str]) -> str:
        """Write folders, none of them called like a file."""
        path = ""
        for part in parts:
            free = part
            while _alike(path + free) in self._files:
                free += "_"
            path += free
            self._folders.add(_alike(path))
            path += "/"
        return path


def _safe(part: str) -> str:
    name = _UNSAFE.sub("_", part)
    stem, dot, extension = name.rpartition(".")
    if len(name) > _LONGEST:
        name = (
            stem[: _LONGEST - len(extension) - 1] + dot + extension
            if len(extension) < _LONGEST // 2
            else name[:_LONGEST]
        )
    name = name.rstrip(". ").lstrip(" ") or "_"
    return f"_{name}" if _DEVICES.match(name) else name


def _alike(name: str) -> str:
    """Write names alike that one system or another takes for the same."""
    return unicodedata.normalize("NFC", name).casefold()


ERRORS = "errors.json"
"""What could not be made, at the end of the archive; missing where all was."""


async def zipped(pictures: AsyncIterator[tuple[str, Made | ImgserveError]]) -> AsyncIterator[bytes]:
    """Give the bytes of an archive, with pictures as they come; stored, for pictures do not shrink."""
    archive, names, problems = ZipStream(compress_type=ZIP_STORED), ArchiveNames(ERRORS), list[dict[str, object]]()
    async for image_id, made in pictures:
        if isinstance(made, ImgserveError):
            problems.append({"id": image_id, "status": made.status, "code": made.code, "detail": made.detail})
            continue
        archive.add(made.rendition.data, names.name(image_id, made.extension))
        # A checksum over megabytes is not for the event loop.
        for piece in await to_thread.run_sync(_file_of, archive):
            yield piece
    if problems:
        archive.comment = f"{len(problems)} images are missing; {ERRORS} tells why."
        archive.add(json.dumps(problems, indent=1), ERRORS)
    for piece in archive.finalize():
        yield piece


def archive_name() -> str:
    """Name an archive by the day."""
    return f"images-{datetime.now(UTC):%Y-%m-%d}.zip"


def _file_of(archive: ZipStream) -> list[bytes]:
    pieces: Iterator[bytes] = archive.file()
    return list(pieces)


T = TypeVar("T")


class BulkConverter:
    """Makes pictures of many images, several at once; one that fails spoils no other."""

    def __init__(self, making: Converter, search: ImageSearch, *, at_once: int, most: int) -> None:
        """Take who makes one, who lists images, how many are worked on at once, and how many may be asked for."""
        self._making = making
        self._search = search
        self._at_once = at_once
        self._most = most

    async def check(self, selection: Selection) -> None:
        """Refuse more images than one call may transform.

        Raises:
            BadRequest: there are too many.
            CatalogUnavailable: they cannot be counted now.
        """
        number = await count(selection, self._search)
        if number > self._most:
            raise BadRequest(f"expected at most {self._most} images, the limit bulk_images, but {number} are meant")

    async def queries(self, selection: Selection, steps: Steps) -> list[tuple[str, str | ImgserveError]]:
        """Write the query of each picture, as `Converter.query` does."""
        found = self._each(selection, lambda image_id: self._making.query(image_id, steps))
        return [one async for one in found]

    async def originals(
        self, selection: Selection, steps: Steps, *, who: str
    ) -> list[tuple[str, Accepted | ImgserveError]]:
        """Keep each picture as a new original, named by its content."""
        kept = self._each(selection, lambda image_id: self._making.original(image_id, steps, new_id=None, who=who))
        return [one async for one in kept]

    async def archive(
        self, selection: Selection, steps: Steps, accepted: AcceptClass = ()
    ) -> AsyncGenerator[bytes, None]:
        """Give a ZIP of the pictures while they are made; closing it ends the work."""
        pictures: AsyncGenerator[tuple[str, Made | ImgserveError], None] = self._each(
            selection, lambda image_id: self._making.picture(image_id, steps, accepted)
        )
        async with contextlib.aclosing(pictures):
            async for piece in zipped(pictures):
                yield piece

    def _each(
        self, selection: Selection, work: Callable[[str], Awaitable[T]]
    ) -> AsyncGenerator[tuple[str, T | ImgserveError], None]:
        async def one(image_id: str) -> tuple[str, T | ImgserveError]:
            try:
                return image_id, await retry_transient(lambda: work(image_id))
            except ImgserveError as error:
                return image_id, error

        return map_ordered(each(selection, self._search), one, at_once=self._at_once)
