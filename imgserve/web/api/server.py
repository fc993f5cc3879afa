"""Endpoints of the trash, and of tags, problems and statistics of the server."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from imgserve.access.keys import Scope
from imgserve.catalog import ImageSearch, Problems, RenderProblems, Totals
from imgserve.errors import BadCursor, ImageExists, ReadOnlyOriginals, StorageFull, TrashItemNotFound, UnreadableImage
from imgserve.library.ingest import IngestService
from imgserve.records import Problem, RenderProblem, Stats, TagCount, TrashItem
from imgserve.web.api.endpoint import endpoint
from imgserve.web.api.images import ImageOut
from imgserve.web.api.messages import Next, ResponseModel
from imgserve.web.api.requests import ByPrefix, Filters, ImageId, Limit, Paging, RequestModel

_trash_endpoint = partial(endpoint, tag="trash")
_server_endpoint = partial(endpoint, tag="server")
_TAGS = 1000


class PrefixPaging(ByPrefix, Paging):
    """A page of a list of image ids."""

    prefix: ImageId = ""
    """The start of the image ids."""


class TrashItemOut(ResponseModel, record=TrashItem):
    """A deleted image that can be restored."""

    until: datetime


class TrashOut(ResponseModel):
    """The trash."""

    items: list[TrashItemOut]
    """The oldest first."""


class DestroyedOut(ResponseModel):
    """The result of a permanent deletion."""

    destroyed: int
    """The number of deleted items."""


class TagOut(ResponseModel, record=TagCount):
    """A tag in use."""


class TagsOut(ResponseModel):
    """The tags in use."""

    tags: list[TagOut]
    """The most frequent first."""


class FoldersOut(ResponseModel):
    """A page of folders."""

    folders: list[str]
    """Starts of image ids that end with a slash, in order."""
    next: Next


class TotalsOut(ResponseModel, record=Totals):
    """Sums over images."""


class ProblemOne(ResponseModel, record=Problem):
    """A file among the originals that cannot be served."""


class ProblemsOut(ResponseModel):
    """A page of problems."""

    problems: list[ProblemOne]
    """In the order of their ids."""
    next: Next


class RenderProblemOne(ResponseModel, record=RenderProblem):
    """A rendition that failed or was slow."""


class RenderProblemsOut(ResponseModel):
    """Renditions that failed, or that were slow."""

    renditions: list[RenderProblemOne]
    """The latest first."""


class ClearedOut(ResponseModel):
    """A cleared list."""

    cleared: int
    """The number of entries that it had."""


class RenderProblemsQuery(RequestModel):
    """Which renditions to list."""

    slow: bool = False
    """Those that took at least `log.slow_render` seconds, instead of those that failed."""
    limit: Limit = 50
    """Maximum renditions."""


class StatsOut(ResponseModel, record=Stats):
    """Statistics of the server."""


@dataclass(frozen=True, slots=True)
class Trash:
    """Endpoints of the trash."""

    ingest: IngestService
    prefix: str

    @_trash_endpoint("GET", "/api/trash", Scope.READ, "List the trash")
    async def list(self) -> TrashOut:
        """Return the deleted images that can be restored."""
        return TrashOut.model_validate({"items": await self.ingest.trash()})

    @_trash_endpoint(
        "POST",
        "/api/trash/{item}/restore",
        Scope.MANAGE,
        "Restore a deleted image",
        errors=[TrashItemNotFound, ImageExists, ReadOnlyOriginals, UnreadableImage, StorageFull],
    )
    async def restore(self, item: str) -> ImageOut:
        """Restore a deleted original under its id, with its record."""
        return ImageOut.of(await self.ingest.restore(item), self.prefix)

    @_trash_endpoint(
        "DELETE",
        "/api/trash/{item}",
        Scope.MANAGE,
        "Delete an image permanently",
        errors=[TrashItemNotFound, ReadOnlyOriginals],
    )
    async def destroy(self, item: str) -> DestroyedOut:
        """Delete an item of the trash permanently."""
        await self.ingest.destroy(item)
        return DestroyedOut(destroyed=1)

    @_trash_endpoint("DELETE", "/api/trash", Scope.MANAGE, "Empty the trash", errors=[ReadOnlyOriginals])
    async def empty(self) -> DestroyedOut:
        """Delete all items of the trash permanently."""
        return DestroyedOut(destroyed=await self.ingest.empty_trash())


@dataclass(frozen=True, slots=True)
class Reports:
    """Endpoints of folders, tags, problems and statistics."""

    search: ImageSearch
    files: Problems
    renders: RenderProblems
    version: str

    @endpoint("GET", "/api/tags", Scope.READ, "List the tags in use")
    async def tags(self) -> TagsOut:
        """Return the thousand most frequent tags with their numbers of images."""
        counts = await self.search.tag_counts(_TAGS)
        return TagsOut.model_validate({"tags": [TagCount(tag, number) for tag, number in counts.items()]})

    @endpoint("GET", "/api/folders", Scope.READ, "List folders", errors=[BadCursor])
    async def folders(self, query: PrefixPaging) -> FoldersOut:
        """Return the folders directly below a prefix: the starts of image ids up to the first slash after it."""
        page = await self.search.folders(query.prefix, limit=query.limit, cursor=query.cursor)
        return FoldersOut.model_validate({"folders": page.items, "next": page.cursor})

    @endpoint("GET", "/api/totals", Scope.READ, "Count images")
    async def totals(self, query: Filters) -> TotalsOut:
        """Return the number of the images that match all filters, and the size of their originals."""
        return TotalsOut.model_validate(await self.search.totals(query.query()))

    @_server_endpoint("GET", "/api/problems", Scope.READ, "List files that cannot be served", errors=[BadCursor])
    async def problems(self, query: PrefixPaging) -> ProblemsOut:
        """Return the files among the originals that cannot be served, until they are repaired or removed."""
        page = await self.files.page(query.prefix, limit=query.limit, cursor=query.cursor)
        return ProblemsOut.model_validate({"problems": page.items, "next": page.cursor})

    @_server_endpoint("GET", "/api/problems/renders", Scope.ADMIN, "List renditions that failed or were slow")
    async def render_problems(self, query: RenderProblemsQuery) -> RenderProblemsOut:
        """Return the renditions that failed or were slow lately, on all nodes; they are a few seconds old."""
        found = await self.renders.list(slow=query.slow, limit=query.limit)
        return RenderProblemsOut.model_validate({"renditions": found})

    @_server_endpoint("DELETE", "/api/problems/renders", Scope.ADMIN, "Clear the list of failed and slow renditions")
    async def clear_render_problems(self) -> ClearedOut:
        """Clear both lists."""
        return ClearedOut(cleared=await self.renders.clear())

    @_server_endpoint("GET", "/api/stats", Scope.READ, "Get statistics of the server")
    async def stats(self) -> StatsOut:
        """Return the number of images, the size of their originals, and the number of problems."""
        totals = await self.search.totals()
        number = await self.files.count()
        return StatsOut.model_validate(Stats(totals.images, totals.size, number, self.version))
