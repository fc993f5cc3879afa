"""ZIP archives of pictures: safe, unique names and a stream of bytes."""

import contextlib
import json
import re
import unicodedata
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from anyio import to_thread
from zipstream import ZIP_STORED, ZipStream

from imgserve.errors import ImgserveError
from imgserve.images.convert import Converted

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\\ud800-\udfff\u202a-\u202e\u2066-\u2069]')
"""Characters that are invalid or special in names on some system, or change the direction of text."""
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_LONGEST = 100
"""Characters of a part: at most 255 bytes on every system, with room for a number."""


class ArchiveNames:
    """Chooses names that stay below the folder they are unpacked in, each once."""

    def __init__(self, *reserved: str) -> None:
        """Create one that never returns the reserved names."""
        self._files = {_folded(name) for name in reserved}
        self._folders: set[str] = set()

    def name(self, image_id: str, extension: str) -> str:
        """Return the name of the image with another extension."""
        *folders, last = [_safe(part) for part in image_id.split("/") if part not in {"", ".", ".."}] or ["image"]
        folder = ""
        for part in folders:
            folder += part
            while _folded(folder) in self._files:
                folder += "_"
            self._folders.add(_folded(folder))
            folder += "/"
        stem = last.rpartition(".")[0] or last
        name, number = f"{folder}{stem}.{extension}", 1
        while _folded(name) in self._files or _folded(name) in self._folders:
            number += 1
            name = f"{folder}{stem} ({number}).{extension}"
        self._files.add(_folded(name))
        return name


def _safe(part: str) -> str:
    name = _UNSAFE.sub("_", part)
    stem, dot, extension = name.rpartition(".")
    if len(name) > _LONGEST:
        end = dot + extension if len(extension) < _LONGEST // 2 else ""
        name = (stem if end else name)[: _LONGEST - len(end)] + end
    name = name.rstrip(". ").lstrip(" ") or "_"
    return f"_{name}" if _DEVICES.match(name) else name


def _folded(name: str) -> str:
    """Return the same text for names that some system considers equal."""
    return unicodedata.normalize("NFC", name).casefold()


ERRORS = "errors.json"
"""The file with the errors, at the end of the archive; only if there are any."""


async def zipped(pictures: AsyncGenerator[tuple[str, Converted | ImgserveError], None]) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of an archive as the pictures arrive, and close their generator at the end.

    Pictures are stored without compression, since they do not shrink.
    """
    archive, names, problems = ZipStream(compress_type=ZIP_STORED), ArchiveNames(ERRORS), list[dict[str, object]]()
    async with contextlib.aclosing(pictures):
        async for image_id, result in pictures:
            if isinstance(result, ImgserveError):
                problems.append({"id": image_id, "status": result.status, "code": result.code, "detail": result.detail})
                continue
            archive.add(result.rendition.data, names.name(image_id, result.extension))
            # A checksum over megabytes would block the event loop.
            for piece in await to_thread.run_sync(lambda: list[bytes](archive.file())):
                yield piece
    if problems:
        archive.comment = f"{len(problems)} images are missing; see {ERRORS}."
        archive.add(json.dumps(problems, indent=1), ERRORS)
    for piece in archive.finalize():
        yield piece


def archive_name() -> str:
    """Return a file name with the current date."""
    return f"images-{datetime.now(UTC):%Y-%m-%d}.zip"
