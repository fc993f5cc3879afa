"""Who hears of a purge: the pictures of an image, and those that it is shown in."""

from collections.abc import Collection
from pathlib import Path

import pytest

from imgserve.cache import DiskTier, MemoryTier, RenditionKey, TieredCache
from imgserve.catalog import Notice
from imgserve.library.publish import ChangePublisher
from imgserve.model import Original, Rendition
from tests.catalogs import opened

pytestmark = pytest.mark.anyio

PICTURE = Rendition(b"bytes", "image/png", 4, 3)


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


def carriers(ids: Collection[str]) -> list[str]:
    return ["shoe", "logo"] if "logo" in ids else []


async def test_what_shows_an_image_is_purged_with_it_everywhere(tmp_path: Path) -> None:
    cache, heard = TieredCache(MemoryTier(1_000_000), DiskTier(tmp_path / "cache", 0)), Heard()
    for name in ("logo", "shoe", "hat"):
        await cache.put(key(name), PICTURE)
    async with opened(f"sqlite:///{tmp_path}/catalog.sqlite") as catalog:
        telling = ChangePublisher(cache, catalog.notices, forget=lambda _: None, listeners=[heard], shown_in=carriers)
        assert await telling.purge(["logo"]) == 2
        await telling.publish([Notice("changed", "logo")])
        await telling.purged(["logo"])
        published = [notice for _, notice in await catalog.notices.after(0)]
    assert [name for name in ("logo", "shoe", "hat") if cache.peek(key(name))] == ["hat"]
    assert published == [Notice("changed", "logo"), Notice("purged", "shoe")]
    assert heard.ids == [["logo", "shoe"]]
