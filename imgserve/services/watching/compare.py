"""A walk over the originals beside what the catalog knows, both in the order of ids, neither ever whole in memory."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

from anyio import to_thread

from imgserve.originals.base import Walked
from imgserve.originals.tree import OriginalsTree
from imgserve.services.watching.needs import Known, Versions

_WALKED, _RECORDED = 200, 1000
"""So many at once; the event loop is held up for as long as it takes to compare a piece."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An id of which the originals and the catalog say different things."""

    image_id: str
    version: str | None
    """Of the file; None where the walk has met none."""


async def differences(tree: OriginalsTree, known: Known, folder: str = "") -> AsyncIterator[Difference]:
    """Compare what lies below a folder, by its id, with what is known of it.

    The main folder is compared without those of other prefixes, which are compared by their own.

    Raises:
        CatalogUnavailable: the catalog cannot be read now.
    """
    below = f"{folder}/" if folder else ""
    sides = (_walked(tree.walk(folder)), _recorded(known.images, below), _recorded(known.problems, below))
    while True:
        heads = [await side.head() for side in sides]
        ids = [head[0] for head in heads if head is not None]
        if not ids:
            return
        least = min(ids, key=os.fsencode)
        versions = [head[1] if head is not None and head[0] == least else None for head in heads]
        for side, version in zip(sides, versions, strict=True):
            if version is not None:
                side.advance()
        if versions[0] is None:
            if tree.prefix_of(least) == tree.prefix_of(folder):
                yield Difference(least, None)
        elif versions[0] not in {of_file(version) for version in versions[1:] if version is not None}:
            yield Difference(least, versions[0])


def of_file(version: str) -> str:
    """Leave out of a version what does not come from the file: the focal point behind its time and size."""
    return "_".join(version.split("_", 2)[:2])


class _Side:
    """Ids and versions in order, fetched piece by piece."""

    def __init__(self, fetch: Callable[[str], Awaitable[list[tuple[str, str]]]]) -> None:
        """Take what gives the next piece behind an id, nothing at the end."""
        self._fetch = fetch
        self._piece: list[tuple[str, str]] = []
        self._at = 0
        self._after = ""
        self._ended = False

    async def head(self) -> tuple[str, str] | None:
        """Show the first that is left."""
        while self._at >= len(self._piece) and not self._ended:
            self._piece, self._at = await self._fetch(self._after), 0
            self._ended = not self._piece
            if self._piece:
                self._after = self._piece[-1][0]
        return None if self._ended else self._piece[self._at]

    def advance(self) -> None:
        """Leave the first behind."""
        self._at += 1


def _walked(walking: Iterator[Walked]) -> _Side:
    def take(_after: str) -> list[tuple[str, str]]:
        return [(found.image_id, found.version) for found in itertools.islice(walking, _WALKED)]

    return _Side(lambda after: to_thread.run_sync(take, after))


def _recorded(known: Versions, prefix: str) -> _Side:
    async def take(after: str) -> list[tuple[str, str]]:
        return list((await known.versions(prefix, after, _RECORDED)).items())

    return _Side(take)
