"""The endpoints that keep a server in order: trash, problems, figures."""

from imgserve.access.keys import Scope
from imgserve.catalog import ImageSearch, Problems
from imgserve.errors import (
    BadCursor,
    ImageExists,
    ReadOnlyOriginals,
    StorageFull,
    TrashItemNotFound,
    UnreadableImage,
)
from imgserve.library.ingest import IngestService
from imgserve.web.api.asked import PrefixPaging
from imgserve.web.api.endpoint import endpoint
from imgserve.web.api.models import ImageOut
from imgserve.web.api.upkeep_models import DestroyedOut, ProblemOne, ProblemsOut, StatsOut, TrashItemOut, TrashOut


class Trash:
    """Tells what was deleted, and brings it back."""

    def __init__(self, ingest: IngestService, *, prefix: str) -> None:
        """Take who looks after the trash, and where pictures are served."""
        self._ingest = ingest
        self._prefix = prefix

    @endpoint("GET", "/api/trash", scope=Scope.READ, summary="List the trash", tag="trash")
    async def list(self) -> TrashOut:
        """Tell what was deleted and can be restored."""
        return TrashOut(items=[TrashItemOut.of(item) for item in await self._ingest.trash()])

    @endpoint(
        "POST",
        "/api/trash/{item}/restore",
        scope=Scope.DELETE,
        summary="Restore a deleted image",
        tag="trash",
        errors=[TrashItemNotFound, ImageExists, ReadOnlyOriginals, UnreadableImage, StorageFull],
    )
    async def restore(self, item: str) -> ImageOut:
        """Bring a deleted original back under its id, with all that was known of it."""
        return ImageOut.of(await self._ingest.restore(item), self._prefix)

    @endpoint(
        "DELETE",
        "/api/trash/{item}",
        scope=Scope.DELETE,
        summary="Delete an image for good",
        tag="trash",
        errors=[TrashItemNotFound, ReadOnlyOriginals],
    )
    async def destroy(self, item: str) -> DestroyedOut:
        """Delete an item of the trash for good."""
        await self._ingest.destroy(item)
        return DestroyedOut(destroyed=1)

    @endpoint(
        "DELETE",
        "/api/trash",
        scope=Scope.DELETE,
        summary="Empty the trash",
        tag="trash",
        errors=[ReadOnlyOriginals],
    )
    async def empty(self) -> DestroyedOut:
        """Delete everything in the trash for good."""
        return DestroyedOut(destroyed=await self._ingest.empty_trash())


class Findings:
    """Tells what is wrong with files, and how much there is."""

    def __init__(self, search: ImageSearch, problems: Problems, *, version: str) -> None:
        """Take who counts images, where problems are, and the version of the server."""
        self._search = search
        self._problems = problems
        self._version = version

    @endpoint(
        "GET",
        "/api/problems",
        scope=Scope.READ,
        summary="List files that are no usable images",
        tag="server",
        errors=[BadCursor],
    )
    async def problems(self, query: PrefixPaging) -> ProblemsOut:
        """List files among the originals that cannot be served, and why; one that is mended or gone leaves the list."""
        page = await self._problems.page(query.prefix, limit=query.limit, cursor=query.cursor)
        return ProblemsOut(problems=[ProblemOne.of(one) for one in page.problems], next=page.cursor)

    @endpoint("GET", "/api/stats", scope=Scope.READ, summary="Get the server in figures", tag="server")
    async def stats(self) -> StatsOut:
        """Tell how many images there are, and how large their originals are together."""
        totals = await self._search.totals()
        number = await self._problems.count()
        return StatsOut(images=totals.images, bytes=totals.size, problems=number, version=self._version)
