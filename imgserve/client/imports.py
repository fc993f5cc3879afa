"""The methods of both clients about bulk imports. `transport` explains the decorators."""

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack
from urllib.parse import quote

from imgserve.client.arguments import query, texts
from imgserve.client.call import Call, T, parsed
from imgserve.client.errors import ServerUnreachable
from imgserve.client.files import File, file_body
from imgserve.client.pictures import PictureEndpoints
from imgserve.client.records import Import, ImportImage, page_reader, reader
from imgserve.client.transport import S, endpoint, stream
from imgserve.records import ImportProgress

_PAGE = 500
"""Items per request."""
_DATA = "data: "


class ImportOptions(TypedDict, total=False):
    """How a table is imported."""

    name: str
    """What people call it; the name of the file by default."""
    output: str
    """Parameters of a rendition of each image, such as `preset=card`."""
    refresh: bool
    """Fetch images of earlier imports again, if they have changed."""
    webhook: str
    """URL that is called at the end."""
    each_product: bool
    """Also call it after each product."""


class ImportEndpoints(PictureEndpoints[S]):
    """The methods of a client about imports."""

    @endpoint
    async def analyze_import(self, file: File) -> Mapping[str, Any]:
        """Return the totals and the mistakes of a table, which is not stored."""
        return await self._json("POST", "/api/imports/analyze", dict, file=file_body(file), slow=True)

    @endpoint
    async def start_import(self, file: File, **options: Unpack[ImportOptions]) -> Import:
        """Start an import of a table: CSV, XLSX or JSON."""
        body = file_body(file)
        pairs = query({"name": body.name or None, **options})
        return await self._json("POST", "/api/imports", reader(Import), query=pairs, file=body, slow=True)

    @stream
    def imports(self) -> AsyncGenerator[Import]:
        """Iterate over the imports, the newest first."""
        return self._pages("/api/imports", "imports", Import)

    @endpoint
    async def get_import(self, job_id: str) -> Import:
        """Return an import."""
        return await self._json("GET", _path(job_id), reader(Import))

    @stream
    def import_images(
        self, job_id: str, *, states: Iterable[str] = (), product: str = ""
    ) -> AsyncGenerator[ImportImage]:
        """Iterate over the images of an import in the order of its table, by default all."""
        filters = {"state": texts("states", states), "product": product or None}
        return self._pages(_path(job_id, "/items"), "items", ImportImage, filters)

    @stream
    async def follow_import(self, job_id: str) -> AsyncGenerator[ImportProgress]:
        """Iterate over the progress of an import until it ends; connections that break off are opened again."""
        call, read = _download(_path(job_id, "/events")), reader(ImportProgress)
        while True:
            state = ""
            try:
                async for line in self.sender.lines(call):
                    if line.startswith(_DATA):
                        progress = parsed("events", lambda text: read(json.loads(text)), line.removeprefix(_DATA))
                        state = progress.state
                        yield progress
            except ServerUnreachable:
                if not state:
                    raise
            if state not in {"loading", "running", "paused"}:
                return

    @endpoint
    async def pause_import(self, job_id: str) -> Import:
        """Pause an import: no further images are fetched."""
        return await self._json("POST", _path(job_id, "/pause"), reader(Import))

    @endpoint
    async def resume_import(self, job_id: str) -> Import:
        """Continue a paused import."""
        return await self._json("POST", _path(job_id, "/resume"), reader(Import))

    @endpoint
    async def cancel_import(self, job_id: str) -> Import:
        """Cancel the images of an import that wait."""
        return await self._json("POST", _path(job_id, "/cancel"), reader(Import))

    @endpoint
    async def retry_import(self, job_id: str, *, product: str = "", item: int | None = None) -> int:
        """Queue failed and cancelled images again, of the import, a product or one; return how many."""
        pairs = query({"product": product or None, "item": item})
        return await self._json("POST", _path(job_id, "/retry"), lambda found: int(found["queued"]), query=pairs)

    @endpoint
    async def delete_import(self, job_id: str, *, images: bool = False) -> int:
        """Delete an import, also the images that it has stored if set; return how many images were deleted."""
        pairs = query({"images": images or None})
        return await self._json("DELETE", _path(job_id), lambda found: int(found["images"]), query=pairs)

    @endpoint
    async def save_import(self, job_id: str, to: str | Path) -> None:
        """Write the completed table of an import to a file, whose extension is csv, xlsx or json."""
        kind = Path(to).suffix.removeprefix(".").lower()
        if kind not in {"csv", "xlsx", "json"}:
            raise ValueError(f"to: expected a file name with csv, xlsx or json, but received {str(to)!r}")
        await self.sender.save(_download(_path(job_id, f"/export.{kind}")), Path(to))

    @endpoint
    async def save_import_zip(self, job_id: str, to: str | Path, *, product: str = "", preset: str = "") -> None:
        """Write a ZIP of the images of an import, or of one product, to a file: originals, or pictures of a preset."""
        below = f"/products/{quote(product, safe='')}/zip" if product else "/zip"
        await self.sender.save(_download(_path(job_id, below), preset=preset or None), Path(to))

    async def _pages(
        self, path: str, name: str, kind: type[T], filters: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> AsyncGenerator[T]:
        """Yield the items of a list that the API has under a name, requesting pages as needed."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            pairs = query({**(filters or {}), "limit": size, "cursor": cursor})
            items, cursor = await self._json("GET", path, page_reader(name, kind), query=pairs)
            for item in items[:left]:
                yield item
            left = None if left is None else left - len(items)
            if cursor is None:
                return


def _path(job_id: str, below: str = "") -> str:
    return f"/api/imports/{quote(job_id, safe='')}{below}"


def _download(path: str, **values: str | None) -> Call[None]:
    return Call(method="GET", path=path, read=lambda _: None, query=query(values), slow=True)
