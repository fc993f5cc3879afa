"""Who hears of a change."""

from pathlib import Path

import pytest

from imgserve.cache import DiskTier, MemoryTier, RenditionKey, TieredCache
from imgserve.catalog import Notice
from imgserve.formats import FORMATS
from imgserve.library.record import ChangePublisher
from imgserve.model import Original, Rendition
from tests.catalogs import opened

pytestmark = pytest.mark.anyio

PICTURE = Rendition(b"bytes", "image/png", 4, 3)
ORIGINAL = Original("logo", "5_7", 7, 5, FORMATS["png"], 4, 3, "/logo")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def key(name: str) -> RenditionKey:
    return RenditionKey(name, "1_1", "w=1", "r", "png")


async def test_a_change_is_published_to_the_cache_to_other_processes_and_to_listeners(tmp_path: Path) -> None:
    cache = TieredCache(MemoryTier(1_000_000), DiskTier(tmp_path / "cache", 0))
    forgotten, purged, recorded = list[str](), list[object](), list[Original]()
    for name in ("logo", "hat"):
        await cache.put(key(name), PICTURE)
    async with opened(f"sqlite:///{tmp_path}/catalog.sqlite") as catalog:
        publisher = ChangePublisher(
            cache,
            catalog.notices,
            forgotten.append,
            on_purged=lambda ids, tags: purged.append((ids, tags)),
            on_recorded=recorded.append,
        )
        assert await publisher.purge(["logo"]) == 1
        await publisher.changed(["logo", "hat"], purged=["logo"], recorded=[ORIGINAL])
        published = [notice for _, notice in await catalog.notices.after(0)]
    assert [name for name in ("logo", "hat") if cache.peek(key(name))] == ["hat"]
    assert published == [Notice("changed", "hat"), Notice("purged", "logo", mezzanines=True)]
    assert (purged, recorded) == ([(["logo"], ())], [ORIGINAL])
    assert set(forgotten) == {"logo", "hat"}
