"""The mezzanine tier on a healthy disk."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgserve.cache.disk import MezzanineTier
from imgserve.cache.key import MEZZANINES, RenditionKey, image_folder, is_rendition_path

Key = Callable[..., RenditionKey]
Make = Callable[..., MezzanineTier]


@pytest.fixture
def make() -> Iterator[Make]:
    tiers = []

    def open_tier(root: Path, budget: int = 100_000) -> MezzanineTier:
        tiers.append(MezzanineTier(root, budget))
        return tiers[-1]

    yield open_tier
    for tier in tiers:
        tier.close()


def keep(tier: MezzanineTier, key: RenditionKey, size: int = 1000) -> bool:
    place = tier.place()
    assert place
    place.write_bytes(b"m" * size)
    kept = tier.adopt(key, place)
    assert not place.exists()
    return kept


def folder_figures(root: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in (root / MEZZANINES).rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def figures(tier: MezzanineTier) -> tuple[int, int]:
    return tier.stats().entries, tier.stats().bytes


def scan(tier: MezzanineTier) -> None:
    for _ in tier.scan():
        pass


def test_what_was_adopted_is_located_at_its_computed_path(tmp_path: Path, make: Make, key: Key) -> None:
    tier = make(tmp_path)
    assert tier.locate(key("a")) is None
    assert keep(tier, key("a"))
    place = tier.locate(key("a"))
    assert place == tmp_path / key("a").path_in(MEZZANINES)
    assert place.read_bytes() == b"m" * 1000
    assert is_rendition_path(str(place.relative_to(tmp_path)))
    assert figures(tier) == folder_figures(tmp_path) == (1, 1000)
    assert (tier.stats().hits, tier.stats().misses, tier.stats().errors) == (1, 1, 0)


def test_a_place_is_absolute_and_never_the_same(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tier = make(Path("cache"))
    places = {tier.place() for _ in range(3)}
    assert len(places) == 3
    assert all(place and place.is_absolute() and place.parent.is_dir() for place in places)


def test_adopting_again_replaces_and_counts_once(tmp_path: Path, make: Make, key: Key) -> None:
    tier = make(tmp_path)
    keep(tier, key("a"), 500)
    keep(tier, key("a"), 300)
    assert figures(tier) == folder_figures(tmp_path) == (1, 300)


def test_a_budget_of_nothing_never_touches_the_disk(tmp_path: Path, make: Make, key: Key) -> None:
    tier = make(tmp_path / "cache", 0)
    (tmp_path / "written").write_bytes(b"m")
    assert tier.off
    assert tier.place() is None
    assert not tier.adopt(key("a"), tmp_path / "written")
    assert tier.locate(key("a")) is None
    assert (tier.purge("a"), tier.purge(None), tier.sweep()) == (0, 0, 0)
    tier.discard(key("a"))
    tier.maintain()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("size", "kept"), [(0, False), (1, True), (25_000, True), (25_001, False)])
def test_a_file_may_have_a_quarter_of_the_budget(tmp_path: Path, make: Make, key: Key, size: int, kept: bool) -> None:
    tier = make(tmp_path)
    assert keep(tier, key("a"), size) == kept
    assert figures(tier) == folder_figures(tmp_path) == (int(kept), size * kept)


def test_a_file_that_its_writer_did_not_write_is_not_kept_and_no_fault(tmp_path: Path, make: Make, key: Key) -> None:
    tier = make(tmp_path)
    place = tier.place()
    assert place
    assert not tier.adopt(key("a"), place)
    assert (tier.stats().errors, tier.stats().degraded) == (0, False)


def test_a_file_that_is_not_going_to_be_kept_can_be_withdrawn(tmp_path: Path, make: Make) -> None:
    tier = make(tmp_path)
    place = tier.place()
    assert place
    for _ in range(2):
        tier.withdraw(place)
    place.write_bytes(b"half")
    tier.withdraw(place)
    assert list((tmp_path / ".tmp").iterdir()) == []
    assert tier.stats().errors == 0


def test_the_budget_is_kept_at_every_moment_and_the_least_recently_used_go(
    tmp_path: Path, make: Make, key: Key
) -> None:
    tier = make(tmp_path, 10_000)
    for number in range(10):
        keep(tier, key(number))
    for number in (3, 0, 7):
        assert tier.locate(key(number))
    for number in range(10, 17):
        keep(tier, key(number))
        assert figures(tier) == folder_figures(tmp_path) == (10, 10_000)
    assert [number for number in range(17) if tier.locate(key(number))] == [0, 3, 7, *range(10, 17)]
    assert tier.stats().evictions == 7


def test_entries_and_recency_survive_a_restart(tmp_path: Path, make: Make, key: Key) -> None:
    tier = make(tmp_path)
    for number in range(10):
        keep(tier, key(number))
    for number in (3, 1, 4):
        tier.locate(key(number))
    tier.close()
    small = make(tmp_path, 4000)
    small.maintain()
    assert figures(small) == folder_figures(tmp_path) == (4, 4000)
    assert [number for number in range(10) if small.locate(key(number))] == [1, 3, 4, 9]


def test_a_row_without_its_file_goes(tmp_path: Path, make: Make, key: Key) -> None:
    tier = make(tmp_path)
    keep(tier, key("a"))
    (tmp_path / key("a").path_in(MEZZANINES)).unlink()
    assert tier.locate(key("a")) is None
    assert figures(tier) == (0, 0)
    assert tier.stats().errors == 0


@pytest.mark.parametrize("content", [b"", b"m" * 999, b"m" * 1001])
def test_a_file_of_another_size_goes_with_its_row(tmp_path: Path, make: Make, key: Key, content: bytes) -> None:
    tier = make(tmp_path)
    keep(tier, key("a"))
    (tmp_path / key("a").path_in(MEZZANINES)).write_bytes(content)
    assert tier.locate(key("a")) is None
    assert figures(tier) == folder_figures(tmp_path) == (0, 0)


def test_a_file_without_a_row_is_removed(tmp_path: Path, make: Make, key: Key) -> None:
    tier = make(tmp_path)
    for name in "ab":
        place = tmp_path / key(name).path_in(MEZZANINES)
        place.parent.mkdir(parents=True)
        place.write_bytes(b"m" * 100)
    assert tier.locate(key("a")) is None
    assert folder_figures(tmp_path) == (1, 100)
    tier.maintain()
    assert figures(tier) == folder_figures(tmp_path) == (0, 0)


def test_a_link_in_place_of_a_mezzanine_is_not_followed(tmp_path: Path, make: Make, key: Key) -> None:
    tier = make(tmp_path / "cache")
    keep(tier, key("a"))
    (tmp_path / "outside").write_bytes(b"m" * 1000)
    place = tmp_path / "cache" / key("a").path_in(MEZZANINES)
    place.unlink()
    place.symlink_to(tmp_path / "outside")
    assert tier.locate(key("a")) is None
    assert (tmp_path / "outside").exists()
    assert not place.is_symlink()


def test_a_scan_removes_strange_things_that_are_old(tmp_path: Path, make: Make, key: Key) -> None:
    tier = make(tmp_path)
    keep(tier, key("a"))
    folder = tmp_path / image_folder("a", MEZZANINES)
    for name in ("old", "new"):
        (folder / name).write_bytes(b"x")
    os.utime(folder / "old", (1, 1))
    scan(tier)
    assert not (folder / "old").exists()
    assert (folder / "new").exists()
    assert tier.locate(key("a"))


def test_one_mezzanine_one_image_or_all_can_be_removed(tmp_path: Path, make: Make, key: Key) -> None:
    tier = make(tmp_path)
    for name, canonical in (("a", "x"), ("a", "y"), ("a", "z"), ("b", "x"), ("c", "x")):
        keep(tier, key(name, canonical))
    tier.discard(key("a", "x"))
    assert figures(tier) == folder_figures(tmp_path) == (4, 4000)
    assert tier.purge("a") == 2
    assert not (tmp_path / image_folder("a", MEZZANINES)).exists()
    assert tier.locate(key("b", "x"))
    assert tier.purge(None) == 2
    assert figures(tier) == folder_figures(tmp_path) == (0, 0)
    assert keep(tier, key("a"))


def test_renditions_and_mezzanines_share_a_folder_and_leave_each_other_alone(
    tmp_path: Path, make: Make, make_tier: Callable[..., object], png: Callable[..., object], key: Key
) -> None:
    tier, disk = make(tmp_path), make_tier(tmp_path)
    assert disk.put(key("a"), png(500))  # type: ignore[attr-defined]  # the fixture's tier
    keep(tier, key("a"))
    tier.maintain()
    scan(tier)
    tier.purge(None)
    assert disk.get(key("a")) == png(500)  # type: ignore[attr-defined]
    keep(tier, key("a"))
    disk.purge(None)  # type: ignore[attr-defined]
    disk.maintain()  # type: ignore[attr-defined]
    assert tier.locate(key("a"))
    tier.maintain()
    assert tier.stats().mine


def test_the_sweep_takes_what_dead_and_old_writers_left(tmp_path: Path, make: Make) -> None:
    tier = make(tmp_path)
    mine, stale = tier.place(), tier.place()
    assert mine
    assert stale
    for place in (mine, stale, tmp_path / ".tmp" / "4194303.0a.1"):
        place.write_bytes(b"half")
    os.utime(stale, (1, 1))
    tier.maintain()
    assert list((tmp_path / ".tmp").iterdir()) == [mine]
