"""The images that a caller selects, one after the other, however many they are."""

from collections.abc import AsyncIterator

from imgserve.catalog import ImageQuery, ImageSearch, Selection

PIECE = 500
"""Ids that are looked up at once."""


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


async def each(selection: Selection, search: ImageSearch) -> AsyncIterator[str]:
    """Give the ids: those that are named in the order given, those that a query means in the order of ids.

    Raises:
        CatalogUnavailable: a query cannot be answered now.
    """
    if not isinstance(selection, ImageQuery):
        for image_id in listed(selection) or ():
            yield image_id
        return
    last = ""
    while found := await search.ids(selection, after=last, limit=PIECE):
        for image_id in found:
            yield image_id
        last = found[-1]
