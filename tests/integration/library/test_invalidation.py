"""What one process changes, another follows."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imgserve.cache import DiskTier, MemoryTier, RenditionKey, TieredCache
from imgserve.catalog import Catalog, Notice
from imgserve.errors import CatalogUnavailable
from imgserve.library.invalidation import InvalidationListener
from imgserve.model import Rendition
from tests.catalogs import opened

pytestmark = pytest.mark.anyio

PICTURE = Rendition(b"bytes", "image/png", 4, 3)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Other:
    """A process that follows: what it has in memory, and what it forgot."""

    def __init__(self, catalog: Catalog, place: Path) -> None:
        self.cache = TieredCache(MemoryTier(1_000_000), DiskTier(place, 0))
        self.forgotten: list[str] = []
        self.following = InvalidationListener(catalog.notices, self.cache, forget=self.forgotten.append)

    async def keep(self, *names: str) -> None:
        for name in names:
            await self.cache.put(key(name), PICTURE)

    def kept(self) -> set[str]:
        return {name for name in "abc" if self.cache.peek(key(name))}


def key(name: str) -> RenditionKey:
    return RenditionKey(name, "1_1", "w=1", "r", "png")


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    async with opened(f"sqlite:///{tmp_path}/catalog.sqlite") as a_catalog:
        yield a_catalog


@pytest.fixture
async def other(catalog: Catalog, tmp_path: Path) -> Other:
    await catalog.notices.publish([Notice("purged", "a")])
    process = Other(catalog, tmp_path / "cache")
    await process.keep(*"abc")
    await process.following.follow()
    return process


async def test_what_was_before_it_began_is_not_followed(other: Other) -> None:
    assert (other.kept(), other.forgotten) == ({"a", "b", "c"}, [])


async def test_a_change_has_the_original_looked_at_and_a_purge_empties_memory_too(
    catalog: Catalog, other: Other
) -> None:
    await catalog.notices.publish([Notice("changed", "a"), Notice("purged", "b")])
    await other.following.follow()
    assert other.forgotten == ["a", "b"]
    assert other.kept() == {"a", "c"}


async def test_many_changes_are_followed_once_each(catalog: Catalog, other: Other) -> None:
    names = [f"{number}.png" for number in range(2500)]
    await catalog.notices.publish([Notice("changed", name) for name in names])
    await other.following.follow()
    await other.following.follow()
    assert other.forgotten == names


async def test_a_purge_of_everything_empties_memory(catalog: Catalog, other: Other) -> None:
    await catalog.notices.publish([Notice("everything")])
    await other.following.follow()
    assert other.kept() == set()


async def test_what_was_published_while_the_catalog_was_away_is_followed_later(catalog: Catalog, other: Other) -> None:
    await catalog.notices.publish([Notice("purged", "c")])
    await catalog.database.close()
    away = catalog.notices.after

    async def gone(*_: object) -> list[tuple[int, Notice]]:
        raise CatalogUnavailable

    with contextlib.suppress(CatalogUnavailable), pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog.notices, "after", gone)
        await other.following.follow()
    assert catalog.notices.after == away
    await other.following.follow()
    assert other.kept() == {"a", "b"}
