"""A ZIP as a stream: pictures go in as they are made, and nothing but its table of contents is kept."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

from anyio import to_thread
from zipstream import ZIP_STORED, ZipStream

from imgserve.errors import ImgserveError
from imgserve.services.making.making import Made
from imgserve.services.making.names import ArchiveNames

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
