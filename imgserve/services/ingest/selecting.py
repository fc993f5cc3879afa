"""Goes through the images that a selection means, piece by piece, however many they are."""

from collections.abc import AsyncIterator

from imgserve.catalog import ImageQuery, ImageSearch, Selection

PIECE = 500
"""Ids at once: little memory, and few queries."""


async def pieces_of(selection: Selection, search: ImageSearch) -> AsyncIterator[list[str]]:
    """Give the ids of a selection in their order; those of a query are looked up as they are asked for."""
    if not isinstance(selection, ImageQuery):
        ids = sorted(set(selection), key=lambda image_id: image_id.encode("utf-8", "surrogatepass"))
        for start in range(0, len(ids), PIECE):
            yield ids[start : start + PIECE]
        return
    last = ""
    while found := await search.ids(selection, after=last, limit=PIECE):
        yield found
        last = found[-1]
