"""Endpoints that change many images, purge renditions or report on the cache."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, Self

from anyio import to_thread
from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from imgserve.access.keys import Scope
from imgserve.cache import TieredCache, TierStats
from imgserve.cache.key import image_folder
from imgserve.catalog import ImageQuery, Images
from imgserve.errors import BadRequest, ReadOnlyOriginals, StorageFull
from imgserve.library.ingest import IngestService
from imgserve.records import Purged, StoredRendition
from imgserve.transform import Preset
from imgserve.validation import stated
from imgserve.web.api.endpoint import endpoint
from imgserve.web.api.images import DeletedOut
from imgserve.web.api.messages import ResponseModel
from imgserve.web.api.requests import FilterTag, Limit, Prefix, RequestModel, Selected, Tags, exactly_one

_bulk_endpoint = partial(endpoint, tag="many images")
_purge_endpoint = partial(endpoint, tag="purge")
_PURGES = ("prefix", "tag", "preset", "all")


class Retagging(Selected):
    """A selection of images and their new tags."""

    add: Tags = Field(default=[])
    """Tags to add."""
    remove: Tags = Field(default=[])
    """Tags to remove; a tag in both lists is added."""


def _drop_default(schema: JsonDict) -> None:
    del schema["default"]  # it only means that the field is not set


_OPTIONAL = Field(json_schema_extra=_drop_default)


class PurgeOptions(RequestModel):
    """What else is removed by a purge."""

    mezzanines: bool = False
    """Also remove the mezzanines, so that the next picture decodes the original again. A new version does so anyway."""


class PurgeWhat(PurgeOptions):
    """A purge of exactly one kind."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in _PURGES]})

    prefix: Annotated[Prefix, _OPTIONAL] = ""
    """Images whose id starts with this."""
    tag: Annotated[FilterTag, _OPTIONAL] = ""
    """Images with this tag."""
    preset: Annotated[str, Field(min_length=1, max_length=200), _OPTIONAL] = ""
    """Renditions of all images that this preset alone describes."""
    all: Annotated[Literal[True], _OPTIONAL] = True
    """All renditions."""

    def confined(self, prefixes: tuple[str, ...]) -> Self | None:
        """Return a purge by prefix within these; see `RequestModel.confined`."""
        return self if self.prefix.startswith(prefixes) else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        exactly_one(self, _PURGES)
        if self.preset and self.mezzanines:
            raise stated("mezzanines: expected without preset, because mezzanines belong to images")
        return self


class PurgeSelected(Selected, PurgeOptions):
    """A selection of images, and what is removed of them."""


class ChangedOut(ResponseModel):
    """The result of a change of many images."""

    changed: int
    """The number of changed images."""


class PurgedOut(ResponseModel, record=Purged):
    """The result of a purge."""


class RenditionName(RequestModel):
    """Which rendition of an image."""

    name: Annotated[str, Field(min_length=1, max_length=300)]
    """Its name in the list of renditions."""


class RenditionOut(ResponseModel, record=StoredRendition):
    """A stored rendition."""


class RenditionsOut(ResponseModel):
    """The stored renditions of an image."""

    renditions: list[RenditionOut]
    """The last used first."""


class CachedOut(ResponseModel):
    """A stored rendition, with its image."""

    id: str | None
    """The image id; null if the image is not recorded."""
    rendition: RenditionOut
    """The rendition."""


class AllRenditionsOut(ResponseModel):
    """Stored renditions of all images."""

    renditions: list[CachedOut]
    """The largest first, or the longest unused."""


class AllRenditions(RequestModel):
    """Which renditions to list."""

    sort: Literal["size", "age"] = "size"
    """The largest first, or the longest unused."""
    limit: Limit = 50
    """Maximum renditions."""


class TierOut(ResponseModel, record=TierStats):
    """A tier of the cache."""


class CacheOut(ResponseModel):
    """The tiers of the cache."""

    memory: TierOut
    """Renditions in the memory of the server process that responds."""
    disk: TierOut
    """Renditions on disk."""
    mezzanine: TierOut
    """Reduced copies that renditions are made from."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """Endpoints that change many images."""

    ingest: IngestService

    @_bulk_endpoint(
        "POST",
        "/api/bulk/tag",
        Scope.MANAGE,
        "Tag many images",
        example={"query": {"prefix": "shoes/"}, "add": ["shoe"], "remove": ["new"]},
    )
    async def tag(self, body: Retagging) -> ChangedOut:
        """Add and remove tags of images, all or nothing."""
        return ChangedOut(changed=await self.ingest.tag_many(body.selection, body.add, body.remove))

    @_bulk_endpoint(
        "POST",
        "/api/bulk/delete",
        Scope.MANAGE,
        "Delete many images",
        errors=[ReadOnlyOriginals, StorageFull],
        example={"ids": ["shoes/red.jpg", "shoes/blue.jpg"]},
    )
    async def delete(self, body: Selected) -> DeletedOut:
        """Delete images one after the other, as single deletes would; images in read-only folders stay.

        After an interruption, the same request deletes the remaining images.
        """
        return DeletedOut.model_validate({"deleted": await self.ingest.delete_many(body.selection)})

    @_bulk_endpoint(
        "POST", "/api/bulk/purge", Scope.MANAGE, "Purge many images", example={"query": {"tag": ["summer"]}}
    )
    async def purge(self, body: PurgeSelected) -> PurgedOut:
        """Remove the renditions of images; originals and records stay."""
        return PurgedOut.model_validate(await self.ingest.purge(body.selection, mezzanines=body.mezzanines))


@dataclass(frozen=True, slots=True)
class Purges:
    """Endpoints of purges and of the cache."""

    ingest: IngestService
    images: Images
    tiers: TieredCache
    presets: Mapping[str, Preset]
    """All presets by name and alias."""

    @_purge_endpoint("POST", "/api/purge/{image_id}", Scope.MANAGE, "Purge an image")
    async def image(self, image_id: str, query: PurgeOptions) -> PurgedOut:
        """Remove all renditions of an image, also from other nodes and the configured CDNs."""
        return PurgedOut.model_validate(await self.ingest.purge([image_id], mezzanines=query.mezzanines))

    @_purge_endpoint(
        "POST", "/api/purge", Scope.MANAGE, "Purge by prefix, tag or preset, or all", example={"prefix": "shoes/"}
    )
    async def some(self, body: PurgeWhat) -> PurgedOut:
        """Remove renditions of some images, of one preset, or all."""
        if "all" in body.model_fields_set:
            return PurgedOut.model_validate(await self.ingest.purge_all(mezzanines=body.mezzanines))
        if body.preset:
            known = self.presets.get(body.preset.lower())
            if known is None:
                raise BadRequest(f"preset: expected one of {', '.join(self.presets) or 'no preset is set'}")
            return PurgedOut.model_validate(await self.ingest.purge_preset(known.name))
        query = ImageQuery(prefix=body.prefix, tags=(body.tag,) if body.tag else ())
        return PurgedOut.model_validate(await self.ingest.purge(query, mezzanines=body.mezzanines))

    @_purge_endpoint("GET", "/api/renditions/{image_id}", Scope.READ, "List the renditions of an image")
    async def stored(self, image_id: str) -> RenditionsOut:
        """Return what is stored on disk of an image, or in the memory of this process if there is no disk tier."""
        return RenditionsOut.model_validate({"renditions": await self.tiers.stored(image_id)})

    @_purge_endpoint("DELETE", "/api/renditions/{image_id}", Scope.MANAGE, "Purge one rendition")
    async def named(self, image_id: str, query: RenditionName) -> PurgedOut:
        """Remove one rendition here; other nodes and caches in front remove all renditions of the image."""
        return PurgedOut.model_validate(await self.ingest.purge_named(image_id, query.name))

    @_purge_endpoint("GET", "/api/cache", Scope.READ, "Get the statistics of the cache")
    async def cache(self) -> CacheOut:
        """Return size, hits and misses of each tier."""
        return CacheOut.model_validate(await self.tiers.stats())

    @_purge_endpoint("GET", "/api/renditions", Scope.ADMIN, "List stored renditions of all images")
    async def all_renditions(self, query: AllRenditions) -> AllRenditionsOut:
        """Return the largest renditions on disk, or the longest unused ones."""
        found = await self.tiers.largest_or_oldest(query.sort, query.limit)
        ids = await self._ids({folder for folder, _ in found})
        return AllRenditionsOut.model_validate(
            {"renditions": [{"id": ids.get(folder), "rendition": one} for folder, one in found]}
        )

    async def _ids(self, folders: Collection[str]) -> dict[str, str]:
        """Return the ids of recorded images by the folders of their renditions, which only contain hashes."""
        found, after = dict[str, str](), ""
        while len(found) < len(folders) and (some := await self.images.versions(after=after)):
            found |= await to_thread.run_sync(_folders, list(some), folders)
            after = next(reversed(some))
        return found

    @_purge_endpoint("DELETE", "/api/cache", Scope.MANAGE, "Purge everything")
    async def clear(self, query: PurgeOptions) -> PurgedOut:
        """Remove all renditions of all images."""
        return PurgedOut.model_validate(await self.ingest.purge_all(mezzanines=query.mezzanines))


def _folders(image_ids: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """Return those of the images whose folder is wanted, by folder."""
    pairs = ((image_folder(image_id), image_id) for image_id in image_ids)
    return {folder: image_id for folder, image_id in pairs if folder in wanted}
