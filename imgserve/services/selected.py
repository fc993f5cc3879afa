"""The images that a caller selects, one after the other or piece by piece, however many they are."""

from collections.abc import AsyncIterator

from imgserve.catalog import ImageQuery, ImageSearch, Selection

PIECE = 500
"""Ids at once: little memory, and few queries."""


def listed(selection: Selection) -> list[str] | None:
    """List ids that are named, each once and in the order given; None where a query means them."""
    return None if isinstance(selection, ImageQuery) else list(dict.fromkeys(selection))


async def count(selection: Selection, search: ImageSearch) -> int:
    """Count the images of a selection.

    Raises:
        CatalogUnavailable: a query cannot be answered now.
    """
    if isinstance(selection, ImageQuery):
        return (await search.totals(selection)).images
    return len(listed(selection) or ())


async def pieces(selection: Selection, search: ImageSearch) -> AsyncIterator[list[str]]:
    """Give the ids: those that are named in the order given, those that a query means in the order of ids.

    Raises:
        CatalogUnavailable: a query cannot be answered now.
    """
    if not isinstance(selection, ImageQuery):
        ids = listed(selection) or []
        for start in range(0, len(ids), PIECE):
            yield ids[start : start + PIECE]
        return
    last = ""
    while found := await search.ids(selection, after=last, limit=PIECE):
        yield found
        last = found[-1]


async def each(selection: Selection, search: ImageSearch) -> AsyncIterator[str]:
    """Give the same ids one by one."""
    async for piece in pieces(selection, search):
        for image_id in piece:
            yield image_id
