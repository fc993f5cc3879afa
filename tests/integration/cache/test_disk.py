"""The disk tier on a healthy disk."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imgserve.cache import bounded
from imgserve.cache.disk import DiskTier
from imgserve.cache.key import RenditionKey, image_folder
from imgserve.model import Rendition

Png = Callable[..., Rendition]
Key = Callable[..., RenditionKey]
MakeTier = Callable[..., DiskTier]


def scan(tier: DiskTier) -> None:
    for _ in tier.scan():
        pass


def folder_figures(root: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in (root / "renditions").rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def ledger_figures(tier: DiskTier) -> tuple[int, int]:
    return tier.stats().entries, tier.stats().bytes


def test_what_was_put_is_found_again_with_every_field(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    assert tier.get(key("a")) is None
    assert tier.put(key("a"), png(500))
    assert tier.get(key("a")) == png(500)
    assert ledger_figures(tier) == folder_figures(tmp_path) == (1, 500)
    assert (tier.stats().hits, tier.stats().misses, tier.stats().errors) == (1, 1, 0)


def test_a_file_is_the_plain_picture_at_the_computed_path(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    make_tier(tmp_path).put(key("a"), png(500))
    assert (tmp_path / key("a").path).read_bytes() == png(500).data
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_everything_survives_a_restart(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    first = make_tier(tmp_path)
    first.put(key("a"), png(500))
    first.close()
    assert make_tier(tmp_path).get(key("a")) == png(500)


def test_putting_again_replaces_and_counts_once(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    tier.put(key("a"), png(500))
    tier.put(key("a"), png(300, seed=1))
    assert tier.get(key("a")) == png(300, seed=1)
    assert ledger_figures(tier) == folder_figures(tmp_path) == (1, 300)


@pytest.mark.parametrize(("budget_bytes", "budget_entries"), [(0, 1000), (1000, 0)])
def test_a_budget_of_nothing_never_touches_the_disk(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key, budget_bytes: int, budget_entries: int
) -> None:
    tier = make_tier(tmp_path / "cache", budget_bytes, budget_entries)
    assert not tier.put(key("a"), png(500))
    assert tier.get(key("a")) is None
    tier.purge("a")
    tier.purge(None)
    tier.maintain()
    tier.sweep()
    assert tier.stats().limit_bytes == budget_bytes
    assert not (tmp_path / "cache").exists()


def test_nothing_larger_than_the_budget_and_nothing_empty_is_stored(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    tier = make_tier(tmp_path, 400)
    assert not tier.put(key("a"), png(401))
    assert not tier.put(key("b"), Rendition(b"", "image/png", 0, 0))
    assert tier.put(key("c"), png(400))


@pytest.mark.parametrize("damage", [b"", b"x", b"x" * 500])
def test_a_damaged_file_is_removed_and_a_miss(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key, damage: bytes
) -> None:
    tier = make_tier(tmp_path)
    tier.put(key("a"), png(500))
    (tmp_path / key("a").path).write_bytes(damage)
    assert tier.get(key("a")) is None
    assert ledger_figures(tier) == folder_figures(tmp_path) == (0, 0)
    assert tier.stats().misses == 1


def test_one_flipped_bit_is_noticed(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    tier.put(key("a"), png(500))
    data = bytearray(png(500).data)
    data[300] ^= 1
    (tmp_path / key("a").path).write_bytes(data)
    assert tier.get(key("a")) is None


def test_a_missing_file_is_a_miss_and_its_row_goes(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    tier.put(key("a"), png(500))
    (tmp_path / key("a").path).unlink()
    assert tier.get(key("a")) is None
    assert ledger_figures(tier) == (0, 0)


def test_an_inherited_file_is_served_and_entered(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    place = tmp_path / key("a").path
    place.parent.mkdir(parents=True)
    place.write_bytes(png(500).data)
    tier = make_tier(tmp_path)
    assert tier.get(key("a")) == Rendition(png(500).data, "image/png", 4, 3)
    assert ledger_figures(tier) == (1, 500)


@pytest.mark.parametrize("content", [b"", b"GIF89a not a png", b"\x89PNG\r\n\x1a\n cut short"])
def test_an_inherited_file_that_is_not_what_it_says_is_not_served(
    tmp_path: Path, make_tier: MakeTier, key: Key, content: bytes
) -> None:
    place = tmp_path / key("a").path
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    assert make_tier(tmp_path).get(key("a")) is None
    assert not place.exists()


def test_links_pipes_and_folders_in_place_of_a_picture_are_not_followed(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(png(500).data)
    tier = make_tier(tmp_path / "cache")
    places = [tmp_path / "cache" / key(name).path for name in "abc"]
    for place in places:
        place.parent.mkdir(parents=True)
    places[0].symlink_to(outside)
    os.mkfifo(places[1])
    places[2].mkdir()
    assert [tier.get(key(name)) for name in "ab"] == [None, None]
    assert tier.get(key("c")) is None
    assert [tier.put(key(name), png(300)) for name in "abc"] == [True, True, True]
    assert outside.read_bytes() == png(500).data


def test_the_least_recently_used_are_evicted_until_the_budget_is_kept(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    tier = make_tier(tmp_path, 1_000_000)
    for number in range(100):
        tier.put(key(number), png(1000))
    tier.get(key(0))
    tier.close()
    small = make_tier(tmp_path, 10_000)
    small.maintain()
    assert ledger_figures(small) == folder_figures(tmp_path) == (10, 10_000)
    assert small.get(key(0))
    assert small.get(key(1)) is None
    assert small.get(key(99))
    assert small.stats().evictions == 90


def test_recency_survives_a_restart(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    for number in range(10):
        tier.put(key(number), png(1000))
    for number in (3, 1, 4):
        tier.get(key(number))
    tier.close()
    small = make_tier(tmp_path, 3000)
    small.maintain()
    assert [number for number in range(10) if small.get(key(number))] == [1, 3, 4]


def test_entries_are_bounded_too(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path, 1_000_000, 5)
    for number in range(20):
        tier.put(key(number), png(100))
    tier.maintain()
    assert ledger_figures(tier) == folder_figures(tmp_path) == (5, 500)


def test_one_eviction_is_a_batch_at_most(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    for number in range(120):
        tier.put(key(number), png(100))
    tier.close()
    assert make_tier(tmp_path, 100).evict_some() == 50


def test_the_upkeep_evicts_for_a_moment_and_goes_on_later(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = make_tier(tmp_path)
    for number in range(120):
        tier.put(key(number), png(100))
    tier.close()
    tier = make_tier(tmp_path, 1000)
    monkeypatch.setattr(bounded, "_EVICTION_SECONDS", 0.0)
    left = []
    for _ in range(3):
        tier.maintain()
        left.append(tier.stats().entries)
    assert left == [70, 20, 10]


def test_writers_keep_the_overshoot_small_without_any_upkeep(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    tier = make_tier(tmp_path, 20_000)
    for number in range(200):
        tier.put(key(number), png(1000))
        assert ledger_figures(tier)[1] <= 21_000
    assert ledger_figures(tier) == folder_figures(tmp_path)


def test_an_evicted_image_leaves_no_empty_folder(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    tier.put(key("a"), png(1000))
    tier.close()
    small = make_tier(tmp_path, 10)
    small.maintain()
    assert not (tmp_path / image_folder("a")).exists()


def test_a_purge_takes_one_image_only(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    for canonical in "xyz":
        tier.put(key("a", canonical), png(500))
    tier.put(key("b"), png(500))
    assert tier.purge("a") == 3
    assert not (tmp_path / image_folder("a")).exists()
    assert tier.purge("a") == 0
    assert tier.get(key("b"))
    assert ledger_figures(tier) == folder_figures(tmp_path) == (1, 500)
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_a_purge_takes_files_that_the_ledger_does_not_know(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    place = tmp_path / key("a").path
    place.parent.mkdir(parents=True)
    place.write_bytes(png(500).data)
    make_tier(tmp_path).purge("a")
    assert not place.parent.exists()


def test_a_purge_of_everything_leaves_nothing(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    for number in range(10):
        tier.put(key(number), png(500))
    assert tier.purge(None) == 10
    assert ledger_figures(tier) == folder_figures(tmp_path) == (0, 0)
    assert tier.put(key("a"), png(500))


def test_one_rendition_can_be_discarded(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    tier.put(key("a", "x"), png(500))
    tier.put(key("a", "y"), png(500))
    tier.discard(key("a", "x"))
    assert tier.get(key("a", "x")) is None
    assert ledger_figures(tier) == folder_figures(tmp_path) == (1, 500)


def test_a_scan_enters_inherited_files_by_age(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    now = time.time()
    for number in range(10):
        place = tmp_path / key(number).path
        place.parent.mkdir(parents=True)
        place.write_bytes(png(1000, seed=number).data)
        os.utime(place, (now - 1000 + number, now - 1000 + number))
    tier = make_tier(tmp_path, 3000)
    tier.maintain()
    assert ledger_figures(tier) == folder_figures(tmp_path) == (3, 3000)
    assert [number for number in range(10) if tier.get(key(number))] == [7, 8, 9]


def test_a_scan_removes_what_does_not_belong(tmp_path: Path, make_tier: MakeTier, key: Key) -> None:
    folder = tmp_path / image_folder("a")
    (folder / "nested").mkdir(parents=True)
    (folder / "notes.txt").write_text("old")
    (folder / ".1a-0c-w.png.XyZ123").write_bytes(b"rsync died here")
    (tmp_path / key("a").path).touch()
    (tmp_path / "renditions" / "stray").touch()
    (tmp_path / "renditions" / "ab").mkdir()
    (tmp_path / "renditions" / "ab" / "stray").touch()
    for path in (tmp_path / "renditions").rglob("*"):
        os.utime(path, (1, 1))
    scan(make_tier(tmp_path))
    assert [path.name for path in (tmp_path / "renditions").rglob("*") if not path.is_dir()] == []
    assert not (folder / "nested").exists()


def test_a_scan_leaves_new_strange_names_alone(tmp_path: Path, make_tier: MakeTier) -> None:
    partial = tmp_path / image_folder("a") / ".1a-0c-w.png.XyZ123"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"rsync is writing this")
    scan(make_tier(tmp_path))
    assert partial.exists()


def test_a_scan_drops_rows_without_files(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    for canonical in "xy":
        tier.put(key("a", canonical), png(500))
        tier.put(key("b", canonical), png(500))
    (tmp_path / key("a", "x").path).unlink()
    for canonical in "xy":
        (tmp_path / key("b", canonical).path).unlink()
    (tmp_path / image_folder("b")).rmdir()
    scan(tier)
    assert ledger_figures(tier) == folder_figures(tmp_path) == (1, 500)


def test_a_scan_goes_on_where_it_stopped(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgserve.cache.bounded._SCAN_BATCH", 1)
    for number in range(5):
        place = tmp_path / key(number).path
        place.parent.mkdir(parents=True)
        place.write_bytes(png(1000).data)
    tier = make_tier(tmp_path)
    steps = tier.scan()
    next(steps)
    assert ledger_figures(tier)[0] == 1
    next(steps)
    assert ledger_figures(tier)[0] == 2


def test_a_file_entered_by_a_scan_is_checked_when_it_is_read(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    for name, data in (("a", png(500).data), ("b", png(500).data[:-1])):
        place = tmp_path / key(name).path
        place.parent.mkdir(parents=True)
        place.write_bytes(data)
    tier = make_tier(tmp_path)
    scan(tier)
    assert tier.get(key("a")) == Rendition(png(500).data, "image/png", 4, 3)
    assert tier.get(key("b")) is None
    assert ledger_figures(tier) == folder_figures(tmp_path) == (1, 500)


def test_the_sweep_takes_what_dead_and_old_writers_left(tmp_path: Path, make_tier: MakeTier) -> None:
    temporary = tmp_path / ".tmp"
    (temporary / "4194304.0a.0").mkdir(parents=True)
    names = ["4194303.0a.1", f"{os.getpid()}.0a.2", f"{os.getpid()}.0a.3", "nonsense"]
    for name in names:
        (temporary / name).write_bytes(b"half")
    os.utime(temporary / names[1], (1, 1))
    make_tier(tmp_path).maintain()
    assert [path.name for path in temporary.iterdir()] == [names[2]]


def test_one_image_keeps_its_newest_renditions_and_leaves_the_others_alone(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    tier = make_tier(tmp_path, 10**6, most_per_image=3)
    tier.put(key("other"), png(100))
    for at in range(5):
        tier.put(key("one", f"w={at}"), png(100, at))
    kept = [at for at in range(5) if tier.get(key("one", f"w={at}"))]
    assert kept == [2, 3, 4]
    assert tier.get(key("other"))
    assert (tier.stats().entries, tier.stats().evictions) == (4, 2)
    assert folder_figures(tmp_path) == ledger_figures(tier)


def test_what_is_stored_after_the_clock_was_set_back_is_not_evicted_first(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: now + 86_400 * 10**9)
        before = make_tier(tmp_path, 1000)
        assert before.put(key("a"), png(500))
        assert before.put(key("b"), png(500))
        before.close()
    tier = make_tier(tmp_path, 1000)
    tier.maintain()
    assert tier.put(key("c"), png(500))
    tier.maintain()
    assert [tier.get(key(name)) is not None for name in "abc"] == [False, True, True]
