"""Endpoints of bulk imports: start and control them, their progress and results."""

import base64
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from imgserve.access.keys import Scope
from imgserve.catalog import Catalog, StoredItem, StoredJob
from imgserve.errors import (
    AddressRefused,
    BadTransform,
    BodyTooLarge,
    CatalogUnavailable,
    ImportNotFound,
    ReadOnlyOriginals,
    WrongState,
)
from imgserve.http.headers import content_disposition, quoted_id
from imgserve.images.convert import Converter
from imgserve.jobs.archive import Archive
from imgserve.jobs.export import Export
from imgserve.jobs.imports import ImportOptions, ImportService
from imgserve.jobs.progress import follow, token_of
from imgserve.jobs.urls import OutputUrls
from imgserve.jobs.webhooks import Webhooks
from imgserve.model import clean_text
from imgserve.records import ImportItem, ImportJob, ImportProgress, SlowHost, WebhookDelivery
from imgserve.web.api.endpoint import JSON, Answer, Call, endpoint
from imgserve.web.api.import_input import CSV, TABLE_BODIES, XLSX, receive_table
from imgserve.web.api.messages import Next, Reply, ResponseModel
from imgserve.web.api.requests import Limit, RequestModel
from imgserve.web.documents import address
from imgserve.web.middleware import STOPPING
from imgserve.web.original import Streamed

_TAG = "imports"
_ZIP = "application/zip"
_EVENTS = "text/event-stream"
_KINDS = {"csv": CSV, "xlsx": XLSX, "json": JSON}
_ERRORS = (ImportNotFound,)
_BEAT = 60
"""Looks without a change after which a comment is sent, so that proxies do not end the connection."""
_FIRST_IMAGES = 12
_LONGEST_STREAM = 1200
"""Looks until a browser has to connect again: five minutes."""
_State = Literal["queued", "fetching", "stored", "duplicate", "failed", "cancelled"]
_Text = Annotated[str, Field(max_length=4096)]
_Url = Annotated[str, Field(max_length=2048)]
_Cursor = Annotated[str, Field(max_length=300)] | None


class StartOptions(RequestModel):
    """How a table is imported."""

    name: Annotated[str, Field(max_length=300)] = ""
    """What people call it, such as the name of the file."""
    output: _Text = ""
    """Parameters of the rendition that is made of each image, such as `preset=card` or `format=jpg&quality=50`."""
    refresh: bool = False
    """Fetch images again that an earlier import stored, if they have changed."""
    webhook: _Url = ""
    """URL that is called when the import is finished."""
    each_product: bool = False
    """Also call it when a product is finished."""


class ImportOut(ResponseModel, record=ImportJob):
    """A bulk import."""

    counts: dict[str, int]
    """Its images by state."""


class SlowHostOut(ResponseModel, record=SlowHost):
    """A host that keeps failing."""


class StartedImport(ImportOut):
    """A bulk import, and the hosts that it waits for."""

    slow_hosts: list[SlowHostOut]
    """Hosts that keep failing, so that the import waits between its attempts."""


class ImportsOut(ResponseModel):
    """A page of imports."""

    imports: list[ImportOut]
    """The newest first."""
    next: Next


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


class ItemsQuery(RequestModel):
    """Which images."""

    state: Annotated[list[_State], Field(max_length=6)] = Field(default=[])
    """Those with one of these states; all by default."""
    product: Annotated[str, Field(max_length=300)] = ""
    """Those of a product."""
    limit: Limit = 50
    """Maximum entries of the page."""
    cursor: _Cursor = None
    """The `next` of the previous page."""


class PageQuery(RequestModel):
    """A page of a list."""

    limit: Limit = 50
    """Maximum entries of the page."""
    cursor: _Cursor = None
    """The `next` of the previous page."""


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


class RetryWhat(RequestModel):
    """Which failed and cancelled images to try again; all by default."""

    product: Annotated[str, Field(max_length=300)] = ""
    """Those of a product."""
    item: Annotated[int, Field(ge=0)] | None = None
    """The one of this number."""


class RetriedOut(ResponseModel):
    """The result of a retry."""

    queued: int
    """How many images are tried again."""


class DeleteOptions(RequestModel):
    """What else to delete."""

    images: bool = False
    """Also move the images to the trash that this import has stored."""


class DeletedImport(ResponseModel):
    """The result of a deletion."""

    images: int
    """How many images were deleted."""


class ZipOptions(RequestModel):
    """What an archive contains."""

    preset: Annotated[str, Field(max_length=200)] = ""
    """Pictures with this preset; originals by default."""


class DeliveryOut(ResponseModel, record=WebhookDelivery):
    """A call of a webhook."""


class DeliveriesOut(ResponseModel):
    """The calls of the webhook of an import."""

    deliveries: list[DeliveryOut]
    """The latest first."""


class WebhookSecretOut(ResponseModel):
    """What verifies webhooks."""

    secret: str
    """The secret of the signatures, as Standard Webhooks describe it."""


class ImportEvent(ResponseModel, record=ImportProgress):
    """How far an import is."""


@dataclass(frozen=True, slots=True)
class Imports:
    """Endpoints of imports."""

    service: ImportService
    catalog: Catalog
    converter: Converter
    export: Export
    urls: OutputUrls
    webhooks: Webhooks
    max_bytes: int

    @endpoint(
        "POST",
        "/api/imports",
        Scope.IMPORT,
        "Start an import",
        tag=_TAG,
        bodies=TABLE_BODIES,
        errors=[BodyTooLarge, AddressRefused, BadTransform],
        answers={201: Answer("The import, which has begun.", StartedImport, headers={"Location": "Its path."})},
    )
    async def create(self, query: StartOptions, call: Call) -> Reply:
        """Store a table of image URLs, and fetch its images in the background; invalid rows are left out.

        The body is that of the analysis. The import goes on after a restart of the server.
        """
        with await receive_table(call.request, self.max_bytes) as file:
            job = await self.service.create(file, ImportOptions(**query.model_dump()), call.caller.name)
        location = f"{call.request.scope.get('root_path', '')}/api/imports/{job.job_id}"
        return Reply(await self._started(job), 201, {"location": location})

    @endpoint("GET", "/api/imports", Scope.IMPORT, "List imports", tag=_TAG)
    async def list(self, query: PageQuery) -> ImportsOut:
        """Return the imports."""
        jobs, following = await self.catalog.imports.page(limit=query.limit, cursor=query.cursor)
        counts = await self.catalog.imports.counts([job.job_id for job in jobs])
        return ImportsOut(imports=[_out(job, counts[job.job_id]) for job in jobs], next=following)

    @endpoint("GET", "/api/imports/webhook", Scope.ADMIN, "Show the secret of webhooks", tag=_TAG)
    async def secret(self) -> WebhookSecretOut:
        """Return the secret that signs webhooks."""
        return WebhookSecretOut(secret=await self.webhooks.secret())

    @endpoint("GET", "/api/imports/{job}", Scope.IMPORT, "Get an import", tag=_TAG, errors=_ERRORS)
    async def get(self, job: str) -> StartedImport:
        """Return an import."""
        return await self._started(await self.service.get(job))

    @endpoint(
        "DELETE",
        "/api/imports/{job}",
        Scope.IMPORT,
        "Delete an import",
        tag=_TAG,
        errors=[*_ERRORS, ReadOnlyOriginals],
    )
    async def delete(self, job: str, query: DeleteOptions) -> DeletedImport:
        """Delete an import and its results. Its images stay, unless they are to be deleted too."""
        return DeletedImport(images=await self.service.delete(job, images=query.images))

    @endpoint(
        "POST", "/api/imports/{job}/pause", Scope.IMPORT, "Pause an import", tag=_TAG, errors=[*_ERRORS, WrongState]
    )
    async def pause(self, job: str) -> StartedImport:
        """Fetch no further images; those that are being fetched are finished."""
        return await self._started(await self.service.change_state(job, ["running"], "paused"))

    @endpoint(
        "POST", "/api/imports/{job}/resume", Scope.IMPORT, "Resume an import", tag=_TAG, errors=[*_ERRORS, WrongState]
    )
    async def resume(self, job: str) -> StartedImport:
        """Continue a paused import."""
        return await self._started(await self.service.change_state(job, ["paused"], "running"))

    @endpoint(
        "POST", "/api/imports/{job}/cancel", Scope.IMPORT, "Cancel an import", tag=_TAG, errors=[*_ERRORS, WrongState]
    )
    async def cancel(self, job: str) -> StartedImport:
        """Cancel all images that wait; a retry queues them again."""
        return await self._started(await self.service.change_state(job, ["running", "paused"], "cancelled"))

    @endpoint("POST", "/api/imports/{job}/retry", Scope.IMPORT, "Try images again", tag=_TAG, errors=_ERRORS)
    async def retry(self, job: str, query: RetryWhat) -> RetriedOut:
        """Queue the failed and cancelled images again."""
        return RetriedOut(queued=await self.service.retry(job, query.product, query.item))

    @endpoint("GET", "/api/imports/{job}/items", Scope.IMPORT, "List images of an import", tag=_TAG, errors=_ERRORS)
    async def items(self, job: str, query: ItemsQuery, call: Call) -> ItemsOut:
        """Return the images of an import."""
        found = await self.service.get(job)
        items, following = await self.catalog.imports.items(
            job, states=query.state, product=query.product, limit=query.limit, cursor=query.cursor
        )
        listed = [ItemOut.model_validate(self._values(item, found, call.request)) for item in items]
        return ItemsOut(items=listed, next=following)

    @endpoint(
        "GET", "/api/imports/{job}/products", Scope.IMPORT, "List products of an import", tag=_TAG, errors=_ERRORS
    )
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

    @endpoint(
        "GET",
        "/api/imports/{job}/events",
        Scope.IMPORT,
        "Follow an import",
        tag=_TAG,
        errors=_ERRORS,
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
            changes = follow(self.catalog.imports, job, known)
            async with aclosing(changes):
                if await anext(changes) is None:
                    return Response(status_code=204)
        return Streamed(self._events(job, known, call.request), _EVENTS, {})

    @endpoint(
        "GET",
        "/api/imports/{job}/export.{kind}",
        Scope.IMPORT,
        "Download the completed table",
        tag=_TAG,
        errors=_ERRORS,
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

    @endpoint(
        "GET",
        "/api/imports/{job}/zip",
        Scope.IMPORT,
        "Download the images of an import",
        tag=_TAG,
        errors=[*_ERRORS, BadTransform],
        answers={200: Answer("The archive, with `manifest.csv` and `manifest.json`.", media_types=[_ZIP])},
    )
    async def zip(self, job: str, query: ZipOptions, call: Call) -> Response:
        """Return the images in a folder for each product."""
        return await self._archive(job, "", query, call.request)

    @endpoint(
        "GET",
        "/api/imports/{job}/products/{product}/zip",
        Scope.IMPORT,
        "Download the images of a product",
        tag=_TAG,
        errors=[*_ERRORS, BadTransform],
        answers={200: Answer("The archive, with `manifest.csv` and `manifest.json`.", media_types=[_ZIP])},
    )
    async def product_zip(self, job: str, product: str, query: ZipOptions, call: Call) -> Response:
        """Return the images of one product."""
        if clean_text(product) != product:
            raise ImportNotFound
        return await self._archive(job, product, query, call.request)

    @endpoint("GET", "/api/imports/{job}/deliveries", Scope.IMPORT, "List calls of a webhook", tag=_TAG, errors=_ERRORS)
    async def deliveries(self, job: str) -> DeliveriesOut:
        """Return the calls of the webhook of an import."""
        await self.service.get(job)
        return DeliveriesOut.model_validate({"deliveries": await self.catalog.imports.deliveries(job)})

    @endpoint(
        "POST",
        "/api/imports/{job}/deliveries/{delivery}",
        Scope.IMPORT,
        "Call a webhook again",
        tag=_TAG,
        errors=_ERRORS,
    )
    async def redeliver(self, job: str, delivery: str) -> DeliveriesOut:
        """Make a call again, with the same id and body."""
        await self.service.get(job)
        if clean_text(delivery) != delivery or not await self.catalog.import_queue.redeliver(job, delivery):
            raise ImportNotFound("There is no such call of a webhook.")
        return await self.deliveries(job)

    async def _started(self, job: StoredJob) -> StartedImport:
        counts, hosts = (
            await self.catalog.imports.counts([job.job_id]),
            await self.catalog.imports.slow_hosts(job.job_id),
        )
        return StartedImport.model_validate({**asdict(job), "counts": counts[job.job_id], "slow_hosts": hosts})

    def _values(self, item: StoredItem, job: StoredJob, request: Request) -> dict[str, Any]:
        output_url = self.urls.url(item, job.output, address(request))
        path = f"{self.urls.prefix}/{quoted_id(item.image_id)}" if output_url else ""
        return {**asdict(item), "path": path, "output_url": output_url}

    async def _events(self, job_id: str, known: str, request: Request) -> AsyncGenerator[bytes]:
        state, quiet = request.scope.get("state", {}), 0
        yield b"retry: 2000\n\n"
        try:
            async with aclosing(follow(self.catalog.imports, job_id, known)) as changes:
                async for number, change in _numbered(changes):
                    if number > _LONGEST_STREAM or STOPPING in state:
                        return
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


async def _numbered(
    changes: AsyncGenerator[ImportProgress | None],
) -> AsyncGenerator[tuple[int, ImportProgress | None]]:
    number = 0
    async for change in changes:
        yield number, change
        number += 1


def _out(job: StoredJob, counts: dict[str, int]) -> ImportOut:
    return ImportOut.model_validate({**asdict(job), "counts": counts})
