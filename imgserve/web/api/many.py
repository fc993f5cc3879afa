"""The endpoints that change many images at once, or take away what was made of them."""

from collections.abc import Awaitable, Callable, Collection, Mapping

from imgserve.access.keys import Scope
from imgserve.cache import TierStats
from imgserve.catalog import ImageQuery
from imgserve.errors import BadRequest, ReadOnlyOriginals, StorageFull
from imgserve.library.ingest import IngestService
from imgserve.web.api.asked import PurgeWhat, Retagging, Selected
from imgserve.web.api.endpoint import endpoint
from imgserve.web.api.upkeep_models import CacheOut, ChangedOut, DeletedOne, DeletedOut, PurgedOut, TierOut

_SELECTION = {"ids": ["shoes/red.jpg", "shoes/blue.jpg"]}
_TIER = ("entries", "bytes", "limit_bytes", "hits", "misses", "evictions", "degraded")


class Bulk:
    """Changes many images."""

    def __init__(self, ingest: IngestService) -> None:
        """Take who changes them."""
        self._ingest = ingest

    @endpoint(
        "POST",
        "/api/bulk/tag",
        scope=Scope.WRITE,
        summary="Tag many images",
        tag="many images",
        example={"query": {"prefix": "shoes/"}, "add": ["shoe"], "remove": ["new"]},
    )
    async def tag(self, body: Retagging) -> ChangedOut:
        """Give images tags and take others from them, all of it or nothing."""
        return ChangedOut(changed=await self._ingest.tag_many(body.selection, body.add, body.remove))

    @endpoint(
        "POST",
        "/api/bulk/delete",
        scope=Scope.DELETE,
        summary="Delete many images",
        tag="many images",
        errors=[ReadOnlyOriginals, StorageFull],
        example=_SELECTION,
    )
    async def delete(self, body: Selected) -> DeletedOut:
        """Delete images one by one, each as a single one would be; those that are only read stay.

        Where it is stopped halfway, the same call goes on with what is left.
        """
        return DeletedOut(deleted=[DeletedOne.of(one) for one in await self._ingest.delete_many(body.selection)])

    @endpoint(
        "POST",
        "/api/bulk/purge",
        scope=Scope.PURGE,
        summary="Purge many images",
        tag="many images",
        example={"query": {"tag": ["summer"]}},
    )
    async def purge(self, body: Selected) -> PurgedOut:
        """Remove what was made of images; originals and records stay."""
        return PurgedOut.of(await self._ingest.purge(body.selection))


class Purges:
    """Takes away what was made."""

    def __init__(
        self,
        ingest: IngestService,
        *,
        stats: Callable[[], Awaitable[Mapping[str, TierStats]]],
        presets: Collection[str],
    ) -> None:
        """Take who purges, the figures of the cache, and the names of the presets."""
        self._ingest = ingest
        self._stats = stats
        self._presets = {name.lower(): name for name in presets}

    @endpoint(
        "POST",
        "/api/purge/{image_id}",
        scope=Scope.PURGE,
        summary="Purge an image",
        tag="purge",
    )
    async def image(self, image_id: str) -> PurgedOut:
        """Remove everything that was made of an image, here and in the caches that are told of purges."""
        return PurgedOut.of(await self._ingest.purge([image_id]))

    @endpoint(
        "POST",
        "/api/purge",
        scope=Scope.PURGE,
        summary="Purge by prefix, tag or preset, or all",
        tag="purge",
        example={"prefix": "shoes/"},
    )
    async def some(self, body: PurgeWhat) -> PurgedOut:
        """Remove what was made of some images, by one preset, or at all."""
        if "all" in body.model_fields_set:
            return PurgedOut.of(await self._ingest.purge_all())
        if body.preset:
            return PurgedOut.of(await self._ingest.purge_preset(self._preset(body.preset)))
        query = ImageQuery(prefix=body.prefix, tags=(body.tag,) if body.tag else ())
        return PurgedOut.of(await self._ingest.purge(query))

    @endpoint("GET", "/api/cache", scope=Scope.READ, summary="Get the figures of the cache", tag="purge")
    async def cache(self) -> CacheOut:
        """Tell how full and how useful each tier is."""
        tiers = await self._stats()
        told = {name: TierOut(**{one: getattr(tier, one) for one in _TIER}) for name, tier in tiers.items()}
        return CacheOut(**told)

    @endpoint("DELETE", "/api/cache", scope=Scope.PURGE, summary="Purge everything", tag="purge")
    async def clear(self) -> PurgedOut:
        """Remove everything that was made of any image."""
        return PurgedOut.of(await self._ingest.purge_all())

    def _preset(self, name: str) -> str:
        known = self._presets.get(name.lower())
        if known is None:
            raise BadRequest(f"preset: expected one of {', '.join(self._presets.values()) or 'no preset is set'}")
        return known
