"""What a tier tells of the other renditions of an original."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imgserve.cache import DiskTier, MemoryTier, RenditionKey, TieredCache
from imgserve.model import Rendition

Keys = Callable[..., RenditionKey]
Pictures = Callable[..., Rendition]


@pytest.mark.parametrize("on_disk", [True, False])
def test_siblings_are_the_same_version_of_the_same_original(
    tmp_path: Path, key: Keys, png: Pictures, *, on_disk: bool
) -> None:
    async def body() -> None:
        cache = TieredCache(MemoryTier(10**6), DiskTier(tmp_path, 10**6 if on_disk else 0))
        older = replace(key("a", "w"), version="0a-2b")
        for one in (key("a", "w"), key("a", "x"), key("a", ""), key("b", "w"), older):
            assert await cache.put(one, png(100))
        found = await cache.siblings(key("a", "w"))
        assert {(one.key, one.width, one.height) for one in found} == {(key("a", "x"), 4, 3), (key("a", ""), 4, 3)}
        before = (await cache.stats())["disk"]
        assert (before.hits, before.misses) == (0, 0)
        await cache.purge("a")
        assert await cache.siblings(key("a", "w")) == []
        await cache.close()

    asyncio.run(body())


def test_looking_at_siblings_is_no_use_of_them(key: Keys, png: Pictures) -> None:
    tier = MemoryTier(20_000)
    for name in "abcdefgh":
        tier.put(key("one", name), png(1400))
    tier.siblings(key("one", "z"))
    tier.put(key("two"), png(1400))
    assert tier.peek(key("one", "a")) is None


def test_siblings_survive_a_restart_and_a_broken_ledger_has_none(
    tmp_path: Path, make_tier: Callable[..., DiskTier], key: Keys, png: Pictures
) -> None:
    tier = make_tier(tmp_path)
    tier.put(key("a", "x"), png(100))
    tier.close()
    assert tier.siblings(key("a")) == []
    again = make_tier(tmp_path)
    assert [one.key for one in again.siblings(key("a"))] == [key("a", "x")]
    again.close()
    (tmp_path / "ledger.sqlite").unlink()
    (tmp_path / "ledger.sqlite").mkdir()
    broken = make_tier(tmp_path)
    assert broken.siblings(key("a")) == []
    assert broken.stats().errors
