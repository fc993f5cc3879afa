"""The calls that keep a server in order: purge, trash, problems, figures. Each a value; nothing is sent here."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack
from urllib.parse import quote

from imgserve.client.api import reading, records
from imgserve.client.api.asking import Filters, selections
from imgserve.client.api.call import Call, deleted, got, posted
from imgserve.client.api.images import PAGE, path_of
from imgserve.client.api.reading import Page

_TRASH = "/api/trash"


def purge(
    image_id: str | None = None,
    *,
    prefix: str | None = None,
    tag: str | None = None,
    preset: str | None = None,
    everything: bool = False,
) -> Call[records.Purged]:
    """Purge renditions.

    Raises:
        ValueError: not exactly one of the arguments is given.
    """
    named = {"id": image_id, "prefix": prefix, "tag": tag, "preset": preset, "all": everything or None}
    given = {name: value for name, value in named.items() if value is not None}
    if len(given) != 1:
        raise ValueError("purge: expected one of an image id, prefix=, tag=, preset= and everything=True")
    if image_id is not None:
        return posted(path_of(image_id, "purge"), None, reading.purged)
    return posted("/api/purge", given, reading.purged, slow=True)


def purge_many(ids: Iterable[str] | None, **filters: Unpack[Filters]) -> list[Call[records.Purged]]:
    """Purge the renditions of many images."""
    return [posted("/api/bulk/purge", one, reading.purged, slow=True) for one in selections(ids, filters)]


def trash() -> Call[list[records.TrashItem]]:
    """Ask what was deleted and can be had back."""
    return got(_TRASH, reading.listed("items", reading.trash_item))


def restore(item: str) -> Call[records.Image]:
    """Take an image back out of the trash."""
    return posted(f"{_item(item)}/restore", None, reading.image)


def empty_trash(item: str | None) -> Call[None]:
    """Give up one item of the trash, or all."""
    return deleted(_TRASH if item is None else _item(item), lambda _: None)


def problems(prefix: str, cursor: str | None, size: int = PAGE) -> Call[Page[records.Problem]]:
    """Ask for a page of files that are no images."""
    named = {"prefix": prefix or None, "limit": str(size), "cursor": cursor}
    query = tuple((name, value) for name, value in named.items() if value is not None)
    return got("/api/problems", reading.page("problems", reading.problem), query)


def stats() -> Call[records.Stats]:
    """Ask for figures."""
    return got("/api/stats", reading.stats)


def cache_stats() -> Call[Mapping[str, Any]]:
    """Ask for the figures of the cache."""
    return got("/api/cache", dict)


def _item(item: str) -> str:
    return f"{_TRASH}/{quote(item, safe='')}"
