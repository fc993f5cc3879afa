"""ZIP archives of the images of an import, of a known length, with a manifest."""

import hashlib
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from anyio import to_thread
from zipstream import ZIP_STORED, ZipStream

from imgserve.catalog import Imports, StoredItem, StoredJob
from imgserve.errors import ImgserveError, ImportNotFound, OriginalChanged
from imgserve.images.archive import ArchiveNames
from imgserve.images.batches import retry_transient
from imgserve.images.convert import Converted, Converter, Steps
from imgserve.jobs.export import csv_text
from imgserve.model import Original, file_version
from imgserve.originals.folder import reading_original

_PAGE = 500
_PIECE = 1 << 18
_MANIFESTS = ("manifest.csv", "manifest.json")
_FIELDS = ("product", "source", "file", "bytes", "sha256", "format", "width", "height", "status", "reason")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of an archive."""

    name: str
    size: int
    image_id: str
    original: Original | None
    """None for a picture."""


@dataclass(slots=True)
class Archive:
    """The images of an import, or of one of its products: originals, or pictures of a transform.

    Sizes are found first, so that the length is known: pictures are rendered then, and read from the cache when they
    are sent.
    """

    imports: Imports
    converter: Converter
    job: StoredJob
    product: str = ""
    steps: Steps | None = None
    """None for originals."""
    length: int = 0
    """Bytes of the archive, after `prepare`."""
    _entries: list[_Entry] = field(default_factory=list)
    _manifests: list[bytes] = field(default_factory=list)

    async def prepare(self) -> None:
        """Find the files and their sizes; raise ImportNotFound if the import has no such product."""
        names, files, lines = ArchiveNames(*_MANIFESTS), dict[str, dict[str, Any]](), list[dict[str, Any]]()
        async for item in self._items():
            line: dict[str, Any] = dict.fromkeys(_FIELDS, "") | {
                "product": item.product, "source": item.url, "status": item.state, "reason": item.reason,
            }  # fmt: skip
            if item.state in {"stored", "duplicate"}:
                try:
                    line |= files.get(item.image_id) or files.setdefault(item.image_id, await self._added(item, names))
                except ImgserveError as error:
                    line |= {"status": "missing", "reason": error.detail}
            lines.append(line)
        if self.product and not lines:
            raise ImportNotFound
        rows = [_FIELDS, *([line[name] for name in _FIELDS] for line in lines)]
        self._manifests = [csv_text(rows, first=True), json.dumps(lines, indent=1).encode()]
        archive = ZipStream(compress_type=ZIP_STORED, sized=True)
        for data, name in zip(self._manifests, _MANIFESTS, strict=True):
            archive.add([], name, size=len(data))
        for entry in self._entries:
            archive.add([], entry.name, size=entry.size)
        self.length = len(archive)

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield the bytes; raise OriginalChanged if a file was replaced or removed meanwhile."""
        archive = ZipStream(compress_type=ZIP_STORED, sized=True)
        for data, name in zip(self._manifests, _MANIFESTS, strict=True):
            archive.add([data], name, size=len(data))
            for piece in archive.file():
                yield piece
        for entry in self._entries:
            archive.add(await self._data(entry), entry.name, size=entry.size)
            written = archive.file()
            while piece := await to_thread.run_sync(_next, written):
                yield piece
        for piece in archive.finalize():
            yield piece

    async def _items(self) -> AsyncIterator[StoredItem]:
        cursor, more = None, True
        while more:
            items, cursor = await self.imports.items(self.job.job_id, product=self.product, limit=_PAGE, cursor=cursor)
            for item in items:
                yield item
            more = cursor is not None

    async def _added(self, item: StoredItem, names: ArchiveNames) -> dict[str, Any]:
        """Add the file of an image; return what the manifest says about it."""
        original = await self.converter.original(item.image_id)
        size, sides, extension = original.size, (original.width, original.height), original.format.extensions[0]
        kind, sha256 = original.format.name, item.sha256
        if self.steps is not None:
            converted = await self._converted(item.image_id, self.steps)
            rendition, kind = converted.rendition, converted.extension
            size, sides, extension = len(rendition.data), (rendition.width, rendition.height), kind
            sha256 = hashlib.sha256(rendition.data).hexdigest()
        name = names.name(f"{item.product}/{item.image_id.rpartition('/')[2]}", extension)
        self._entries.append(_Entry(name, size, item.image_id, original if self.steps is None else None))
        return {
            "file": name, "bytes": size, "sha256": sha256, "format": kind, "width": sides[0], "height": sides[1],
        }  # fmt: skip

    async def _converted(self, image_id: str, steps: Steps) -> Converted:
        # The steps are presets, which may name any mark.
        return await retry_transient(lambda: self.converter.picture(image_id, steps, lambda _: True))

    async def _data(self, entry: _Entry) -> Iterator[bytes]:
        if entry.original is not None:
            return _bytes_of(entry.original)
        if self.steps is None:
            raise OriginalChanged
        data = (await self._converted(entry.image_id, self.steps)).rendition.data
        if len(data) != entry.size:
            raise OriginalChanged
        return iter([data])


def _bytes_of(original: Original) -> Iterator[bytes]:
    """Yield the bytes of an original; raise OriginalChanged if its file is another one now."""
    with reading_original(original.path) as file:
        state = os.fstat(file.fileno())
        if file_version(state.st_mtime_ns, state.st_size) != original.file_version:
            raise OriginalChanged
        while piece := file.read(_PIECE):
            yield piece


def _next(pieces: Iterator[bytes]) -> bytes:
    """Return the next piece, which is never empty; empty at the end."""
    return next(filter(None, pieces), b"")
