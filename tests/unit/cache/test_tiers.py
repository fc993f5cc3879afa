"""The memory tier."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.cache.key import RenditionKey
from imgserve.cache.memory import ENTRY_BYTES, MemoryTier
from imgserve.model import Rendition


def key(image_id: str, canonical: str = "w") -> RenditionKey:
    return RenditionKey(image_id, "v", canonical, "r", "jpg")


def picture(size: int) -> Rendition:
    return Rendition(bytes(size), "image/jpeg", 4, 3)


def test_what_was_put_is_found_again() -> None:
    tier = MemoryTier(1_000_000)
    assert tier.put(key("a"), picture(10))
    assert tier.look_up(key("a")) == picture(10)
    assert tier.look_up(key("b")) is None
    tier.count_miss()
    assert (tier.stats().hits, tier.stats().misses, tier.stats().entries) == (1, 1, 1)


def test_a_budget_of_nothing_keeps_nothing() -> None:
    tier = MemoryTier(0)
    assert not tier.put(key("a"), picture(10))
    assert tier.look_up(key("a")) is None


@pytest.mark.parametrize(("size", "kept"), [(100_000 // 8 - ENTRY_BYTES - 2, True), (100_000 // 8, False)])
def test_a_rendition_above_an_eighth_of_the_budget_is_not_kept(size: int, kept: bool) -> None:
    assert MemoryTier(100_000).put(key("a"), picture(size)) is kept


def test_the_least_recently_used_goes_first() -> None:
    tier = MemoryTier(10 * (ENTRY_BYTES + 1000))
    for name in "abcdefghi":
        tier.put(key(name), picture(1000))
    tier.look_up(key("a"))
    tier.put(key("j"), picture(1000))
    assert tier.look_up(key("a"))
    assert tier.look_up(key("b")) is None
    assert tier.stats().evictions == 1


def test_putting_again_replaces_and_counts_once() -> None:
    tier = MemoryTier(1_000_000)
    tier.put(key("a"), picture(1000))
    tier.put(key("a"), picture(10))
    assert tier.stats().entries == 1
    assert tier.stats().bytes == 10 + len("a") + len("w") + ENTRY_BYTES


def test_a_purge_takes_every_rendition_of_one_image_only() -> None:
    tier = MemoryTier(1_000_000)
    for canonical in "xyz":
        tier.put(key("a", canonical), picture(10))
    tier.put(key("b"), picture(10))
    assert tier.purge("a") == 3
    assert tier.purge("a") == 0
    assert tier.look_up(key("b"))
    assert tier.purge(None) == 1
    assert tier.stats().bytes == 0


@given(st.lists(st.tuples(st.sampled_from(["put", "purge", "get"]), st.sampled_from("abcdef"), st.integers(0, 3000))))
def test_the_budget_holds_and_the_index_follows(steps: list[tuple[str, str, int]]) -> None:
    tier = MemoryTier(20_000)
    for action, name, size in steps:
        if action == "put":
            tier.put(key(name, str(size % 4)), picture(size % 1400))
        elif action == "purge":
            tier.purge(name)
        else:
            tier.look_up(key(name, str(size % 4)))
        assert tier.stats().bytes <= 20_000
        indexed = {item for keys in tier._by_folder.values() for item in keys}
        assert indexed == set(tier)


def test_who_requests_elsewhere_next_counts_and_uses_what_is_found_but_misses_nothing() -> None:
    tier = MemoryTier(10 * (ENTRY_BYTES + 1000))
    for number in range(8):
        tier.put(key(str(number)), picture(990))
    assert tier.look_up(key("0")) == picture(990)
    assert tier.look_up(key("absent")) is None
    assert (tier.stats().hits, tier.stats().misses) == (1, 0)
    for number in range(8, 12):
        tier.put(key(str(number)), picture(990))
    assert tier.peek(key("0")) is not None
    assert tier.peek(key("1")) is None
