"""Who hears of a change; a listener that fails hinders nobody."""

from collections.abc import Collection
from pathlib import Path

import pytest

from imgserve.cache import DiskTier, MemoryTier, RenditionKey, TieredCache
from imgserve.catalog import Notice
from imgserve.formats import FORMATS
from imgserve.library.publish import ChangePublisher
from imgserve.model import Original, Rendition
from tests.catalogs import opened

pytestmark = pytest.mark.anyio

PICTURE = Rendition(b"bytes", "image/png", 4, 3)
ORIGINAL = Original("logo", "5_7", 7, 5, FORMATS["png"], 4, 3, "/logo")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Heard:
    def __init__(self) -> None:
        self.ids: list[Collection[str] | None] = []

    async def on_purged(self, ids: Collection[str] | None, tags: Collection[str]) -> None:
        assert not tags
        self.ids.append(ids)

    async def on_recorded(self, original: Original) -> None:
        raise LookupError(original)


def key(name: str) -> RenditionKey:
    return RenditionKey(name, "1_1", "w=1", "r", "png")


async def test_a_change_is_published_to_the_cache_to_other_processes_and_to_listeners(tmp_path: Path) -> None:
    cache, heard = TieredCache(MemoryTier(1_000_000), DiskTier(tmp_path / "cache", 0)), Heard()
    forgotten = list[str]()
    for name in ("logo", "hat"):
        await cache.put(key(name), PICTURE)
    async with opened(f"sqlite:///{tmp_path}/catalog.sqlite") as catalog:
        publisher = ChangePublisher(cache, catalog.notices, forget=forgotten.append, listeners=[heard])
        assert await publisher.purge(["logo"]) == 1
        await publisher.changed(["logo"], purged=["logo"], recorded=[ORIGINAL, ORIGINAL])
        published = [notice for _, notice in await catalog.notices.after(0)]
    assert [name for name in ("logo", "hat") if cache.peek(key(name))] == ["hat"]
    assert published == [Notice("changed", "logo")]
    assert heard.ids == [["logo"]]
    assert set(forgotten) == {"logo"}
