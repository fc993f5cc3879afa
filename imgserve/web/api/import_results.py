"""Endpoints of what bulk imports have done: their images, progress, completed tables and archives."""

import base64
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from imgserve.access.keys import Scope
from imgserve.catalog import Catalog, StoredItem, StoredJob
from imgserve.errors import BadTransform, CatalogUnavailable, ImportNotFound
from imgserve.http.headers import content_disposition, quoted_id
from imgserve.images.convert import Converter
from imgserve.jobs.archive import Archive
from imgserve.jobs.export import Export, OutputUrls
from imgserve.jobs.imports import ImportService, token_of
from imgserve.model import clean_text
from imgserve.records import ImportItem, ImportProgress
from imgserve.web.api.endpoint import JSON, Answer, Call
from imgserve.web.api.import_input import CSV, XLSX, import_endpoint
from imgserve.web.api.messages import Next, ResponseModel
from imgserve.web.api.requests import Paging, RequestModel
from imgserve.web.documents import address
from imgserve.web.middleware import STOPPING
from imgserve.web.original import Streamed

job_endpoint = partial(import_endpoint, errors=[ImportNotFound])
"""Declares an endpoint of one import."""
_ZIP = "application/zip"
_EVENTS = "text/event-stream"
_KINDS = {"csv": CSV, "xlsx": XLSX, "json": JSON}
_BEAT = 60
"""Looks without a change after which a comment is sent, so that proxies do not end the connection."""
_FIRST_IMAGES = 12
_LONGEST_STREAM = 1200
"""Looks until a browser has to connect again: five minutes."""
_State = Literal["queued", "fetching", "stored", "duplicate", "failed", "cancelled"]


class ItemOut(ResponseModel, record=ImportItem):
    """An image of an import."""

    path: str
    """Path of the picture, for a thumbnail; empty if there is none."""
    output_url: str
    """URL of the output; empty if there is none."""


class ItemsOut(ResponseModel):
    """A page of images of an import."""

    items: list[ItemOut]
    """In the order of the table."""
    next: Next


class PageQuery(Paging):
    """A page of a list, whose cursor may have any characters."""

    cursor: Annotated[str, Field(max_length=300)] | None = None


class ItemsQuery(PageQuery):
    """Which images."""

    state: Annotated[list[_State], Field(max_length=6)] = Field(default=[])
    """Those with one of these states; all by default."""
    product: Annotated[str, Field(max_length=300)] = ""
    """Those of a product."""


class ProductImage(ItemOut):
    """An image of a product, for an overview."""

    thumbhash: str
    """Placeholder of the picture in base64, until it is loaded; empty if there is none."""


class ProductOut(ResponseModel):
    """A product of an import."""

    product: str
    """The product as a part of image ids."""
    counts: dict[str, int]
    """Its images by state."""
    images: list[ProductImage]
    """The first 12 images."""


class ProductsOut(ResponseModel):
    """A page of products of an import."""

    products: list[ProductOut]
    """By name."""
    next: Next


class ZipOptions(RequestModel):
    """What an archive contains."""

    preset: Annotated[str, Field(max_length=200)] = ""
    """Pictures with this preset; originals by default."""


class ImportEvent(ResponseModel, record=ImportProgress):
    """How far an import is."""


@dataclass(frozen=True, slots=True)
class ImportResults:
    """Endpoints of the results of imports."""

    service: ImportService
    catalog: Catalog
    converter: Converter
    export: Export
    urls: OutputUrls

    @job_endpoint("GET", "/api/imports/{job}/items", Scope.IMPORT, "List images of an import")
    async def items(self, job: str, query: ItemsQuery, call: Call) -> ItemsOut:
        """Return the images of an import."""
        found = await self.service.get(job)
        items, following = await self.catalog.imports.items(
            job, states=query.state, product=query.product, limit=query.limit, cursor=query.cursor
        )
        listed = [ItemOut.model_validate(self._values(item, found, call.request)) for item in items]
        return ItemsOut(items=listed, next=following)

    @job_endpoint("GET", "/api/imports/{job}/products", Scope.IMPORT, "List products of an import")
    async def products(self, job: str, query: PageQuery, call: Call) -> ProductsOut:
        """Return the products of an import, with the numbers of their images and the first ones."""
        found = await self.service.get(job)
        products, following = await self.catalog.imports.products(job, limit=query.limit, cursor=query.cursor)
        items = await self.catalog.imports.first_items(job, [one.product for one in products], _FIRST_IMAGES)
        records = await self.catalog.images.get_many({item.image_id for item in items if item.image_id})
        images = defaultdict[str, list[ProductImage]](list)
        for item in items:
            record = records.get(item.image_id)
            thumbhash = base64.b64encode(record.thumbhash).decode() if record else ""
            values = {**self._values(item, found, call.request), "thumbhash": thumbhash}
            images[item.product].append(ProductImage.model_validate(values))
        listed = [
            ProductOut(product=one.product, counts=dict(one.states), images=images[one.product]) for one in products
        ]
        return ProductsOut(products=listed, next=following)

    @job_endpoint(
        "GET",
        "/api/imports/{job}/events",
        Scope.IMPORT,
        "Follow an import",
        headers={"Last-Event-ID": "The last event that the client has received."},
        answers={
            200: Answer("Server-sent events named `progress`, with data like this.", ImportEvent, [_EVENTS]),
            204: Answer("The import has ended, and the client has received its last event.", media_types=[]),
        },
    )
    async def events(self, job: str, call: Call) -> Response:
        """Send an event for each change, at most four in a second. The stream ends with the import."""
        await self.service.get(job)
        known = call.request.headers.get("last-event-id", "")
        if known.startswith(("finished", "cancelled")):
            changes = self.service.follow(job, known)
            async with aclosing(changes):
                if await anext(changes) is None:
                    return Response(status_code=204)
        return Streamed(self._events(job, known, call.request), _EVENTS, {})

    @job_endpoint(
        "GET",
        "/api/imports/{job}/export.{kind}",
        Scope.IMPORT,
        "Download the completed table",
        answers={200: Answer("The table.", media_types=[*_KINDS.values()])},
    )
    async def table(self, job: str, kind: str, call: Call) -> Response:
        """Return the rows with their headers, and the columns `Output Image Urls`, `Status` and `Reason`.

        The kind is `csv`, `xlsx` or `json`.
        """
        found = await self.service.get(job)
        if kind not in _KINDS:
            raise ImportNotFound("There is no such kind of table; expected csv, xlsx or json.")
        write: Callable[[StoredJob, str], AsyncGenerator[bytes]] = getattr(self.export, kind)
        name = content_disposition("attachment", f"import-{job}.{kind}")
        return Streamed(write(found, address(call.request)), _KINDS[kind], {"content-disposition": name})

    @import_endpoint(
        "GET",
        "/api/imports/{job}/zip",
        Scope.IMPORT,
        "Download the images of an import",
        errors=[ImportNotFound, BadTransform],
        answers={200: Answer("The archive, with `manifest.csv` and `manifest.json`.", media_types=[_ZIP])},
    )
    async def zip(self, job: str, query: ZipOptions, call: Call) -> Response:
        """Return the images in a folder for each product."""
        return await self._archive(job, "", query, call.request)

    @import_endpoint(
        "GET",
        "/api/imports/{job}/products/{product}/zip",
        Scope.IMPORT,
        "Download the images of a product",
        errors=[ImportNotFound, BadTransform],
        answers={200: Answer("The archive, with `manifest.csv` and `manifest.json`.", media_types=[_ZIP])},
    )
    async def product_zip(self, job: str, product: str, query: ZipOptions, call: Call) -> Response:
        """Return the images of one product."""
        if clean_text(product) != product:
            raise ImportNotFound
        return await self._archive(job, product, query, call.request)

    def _values(self, item: StoredItem, job: StoredJob, request: Request) -> dict[str, Any]:
        output_url = self.urls.url(item, job.output, address(request))
        path = f"{self.urls.prefix}/{quoted_id(item.image_id)}" if output_url else ""
        return {**asdict(item), "path": path, "output_url": output_url}

    async def _events(self, job_id: str, known: str, request: Request) -> AsyncGenerator[bytes]:
        state, looks, quiet = request.scope.get("state", {}), 0, 0
        yield b"retry: 2000\n\n"
        try:
            async with aclosing(self.service.follow(job_id, known)) as changes:
                async for change in changes:
                    if looks > _LONGEST_STREAM or STOPPING in state:
                        return
                    looks += 1
                    quiet = 0 if change is not None else quiet + 1
                    if change is not None:
                        data = json.dumps(ImportEvent.model_validate(change).model_dump(), separators=(",", ":"))
                        yield f"event: progress\nid: {token_of(change)}\ndata: {data}\n\n".encode()
                    elif quiet % _BEAT == 0:
                        yield b":\n\n"
        except (CatalogUnavailable, ImportNotFound):
            return  # the client connects again

    async def _archive(self, job_id: str, product: str, query: ZipOptions, request: Request) -> Response:
        steps = self.converter.read([f"preset={query.preset}"]) if query.preset else None
        archive = Archive(self.catalog.imports, self.converter, await self.service.get(job_id), product, steps)
        await archive.prepare()
        name = f"import-{job_id}{f'-{product}' if product else ''}.zip"
        headers = {
            "content-disposition": content_disposition("attachment", name),
            "content-length": str(archive.length),
        }
        if request.method == "HEAD":
            return Response(None, 200, headers, _ZIP)
        return Streamed(archive.pieces(), _ZIP, headers)
