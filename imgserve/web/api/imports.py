"""Endpoints that start, list and control bulk imports, and those of their webhooks."""

from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import Field

from imgserve.access.keys import Scope
from imgserve.catalog import Catalog, StoredJob
from imgserve.errors import (
    AddressRefused,
    BadTransform,
    BodyTooLarge,
    ImportNotFound,
    ReadOnlyOriginals,
    WrongState,
)
from imgserve.jobs.imports import ImportOptions, ImportService
from imgserve.jobs.webhooks import Webhooks
from imgserve.model import clean_text
from imgserve.records import ImportJob, SlowHost, WebhookDelivery
from imgserve.web.api.endpoint import Answer, Call
from imgserve.web.api.import_input import TABLE_BODIES, import_endpoint, receive_table
from imgserve.web.api.import_results import PageQuery, job_endpoint
from imgserve.web.api.messages import Next, Reply, ResponseModel
from imgserve.web.api.requests import RequestModel

_Text = Annotated[str, Field(max_length=4096)]
_Url = Annotated[str, Field(max_length=2048)]


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


@dataclass(frozen=True, slots=True)
class Imports:
    """Endpoints of imports."""

    service: ImportService
    catalog: Catalog
    webhooks: Webhooks
    max_bytes: int

    @import_endpoint(
        "POST",
        "/api/imports",
        Scope.IMPORT,
        "Start an import",
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
        return Reply(await self._started(job), 201, {"location": location}, (job.job_id,))

    @import_endpoint("GET", "/api/imports", Scope.IMPORT, "List imports")
    async def list(self, query: PageQuery) -> ImportsOut:
        """Return the imports."""
        jobs, following = await self.catalog.imports.page(limit=query.limit, cursor=query.cursor)
        counts = await self.catalog.imports.counts([job.job_id for job in jobs])
        listed = [ImportOut.model_validate({**asdict(job), "counts": counts[job.job_id]}) for job in jobs]
        return ImportsOut(imports=listed, next=following)

    @import_endpoint("GET", "/api/imports/webhook", Scope.ADMIN, "Show the secret of webhooks")
    async def secret(self) -> WebhookSecretOut:
        """Return the secret that signs webhooks."""
        return WebhookSecretOut(secret=await self.webhooks.secret())

    @job_endpoint("GET", "/api/imports/{job}", Scope.IMPORT, "Get an import")
    async def get(self, job: str) -> StartedImport:
        """Return an import."""
        return await self._started(await self.service.get(job))

    @import_endpoint(
        "DELETE", "/api/imports/{job}", Scope.IMPORT, "Delete an import", errors=[ImportNotFound, ReadOnlyOriginals]
    )
    async def delete(self, job: str, query: DeleteOptions) -> DeletedImport:
        """Delete an import and its results. Its images stay, unless they are to be deleted too."""
        return DeletedImport(images=await self.service.delete(job, images=query.images))

    @import_endpoint(
        "POST", "/api/imports/{job}/pause", Scope.IMPORT, "Pause an import", errors=[ImportNotFound, WrongState]
    )
    async def pause(self, job: str) -> StartedImport:
        """Fetch no further images; those that are being fetched are finished."""
        return await self._started(await self.service.change_state(job, ["running"], "paused"))

    @import_endpoint(
        "POST", "/api/imports/{job}/resume", Scope.IMPORT, "Resume an import", errors=[ImportNotFound, WrongState]
    )
    async def resume(self, job: str) -> StartedImport:
        """Continue a paused import."""
        return await self._started(await self.service.change_state(job, ["paused"], "running"))

    @import_endpoint(
        "POST", "/api/imports/{job}/cancel", Scope.IMPORT, "Cancel an import", errors=[ImportNotFound, WrongState]
    )
    async def cancel(self, job: str) -> StartedImport:
        """Cancel all images that wait; a retry queues them again."""
        return await self._started(await self.service.change_state(job, ["running", "paused"], "cancelled"))

    @job_endpoint("POST", "/api/imports/{job}/retry", Scope.IMPORT, "Try images again")
    async def retry(self, job: str, query: RetryWhat) -> RetriedOut:
        """Queue the failed and cancelled images again."""
        return RetriedOut(queued=await self.service.retry(job, query.product, query.item))

    @job_endpoint("GET", "/api/imports/{job}/deliveries", Scope.IMPORT, "List calls of a webhook")
    async def deliveries(self, job: str) -> DeliveriesOut:
        """Return the calls of the webhook of an import."""
        await self.service.get(job)
        return DeliveriesOut.model_validate({"deliveries": await self.catalog.imports.deliveries(job)})

    @job_endpoint("POST", "/api/imports/{job}/deliveries/{delivery}", Scope.IMPORT, "Call a webhook again")
    async def redeliver(self, job: str, delivery: str) -> DeliveriesOut:
        """Make a call again, with the same id and body."""
        await self.service.get(job)
        if clean_text(delivery) != delivery or not await self.catalog.import_queue.redeliver(job, delivery):
            raise ImportNotFound("There is no such call of a webhook.")
        return await self.deliveries(job)

    async def _started(self, job: StoredJob) -> StartedImport:
        counts = await self.catalog.imports.counts([job.job_id])
        hosts = await self.catalog.imports.slow_hosts(job.job_id)
        return StartedImport.model_validate({**asdict(job), "counts": counts[job.job_id], "slow_hosts": hosts})
