"""How inherited files are entered while others change the folder, and how much of a second that may take."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imgserve.cache.disk import DiskTier
from imgserve.cache.files import Found
from imgserve.cache.key import RenditionKey
from imgserve.model import Rendition

Png = Callable[..., Rendition]
Key = Callable[..., RenditionKey]
MakeTier = Callable[..., DiskTier]


def inherit(root: Path, key: RenditionKey, data: bytes) -> None:
    place = root / key.path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def look(tier: DiskTier, key: RenditionKey) -> Found:
    found = tier._files.find(key.path)
    assert found
    return found


def test_files_are_entered_together_by_name_and_beginning(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    tier = make_tier(tmp_path)
    for number in range(5):
        inherit(tmp_path, key(number), png(500).data)
    inherit(tmp_path, key("wrong"), b"GIF89a")
    assert sum(tier.scan()) == 6
    assert (tier.stats().entries, tier.stats().bytes) == (5, 2500)
    assert not (tmp_path / key("wrong").path).exists()
    assert sum(tier.scan()) == 0


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n and more", b"GIF89a"])
def test_a_file_that_changed_since_it_was_looked_at_is_left_for_the_next_scan(
    tmp_path: Path, make_tier: MakeTier, key: Key, data: bytes
) -> None:
    tier = make_tier(tmp_path)
    inherit(tmp_path, key("a"), data)
    tier.adopt_found([replace(look(tier, key("a")), modified_ns=1)])
    assert tier.stats().entries == 0
    assert (tmp_path / key("a").path).read_bytes() == data


def test_a_file_that_is_gone_is_not_entered(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    inherit(tmp_path, key("a"), png(500).data)
    found = look(tier, key("a"))
    (tmp_path / found.path).unlink()
    tier.adopt_found([found])
    assert tier.stats().entries == 0


def test_a_file_that_was_entered_since_it_was_looked_at_keeps_its_row(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    tier = make_tier(tmp_path)
    tier.put(key("a"), png(500))
    tier.adopt_found([look(tier, key("a"))])
    assert tier.get(key("a")) == png(500)
    assert tier.stats().entries == 1


@pytest.mark.parametrize(("unknown", "steps"), [(0, [1, 2, 3]), (1, [5, 5, 5])])
def test_more_of_a_second_is_given_to_files_that_no_ledger_knows(
    tmp_path: Path, make_tier: MakeTier, monkeypatch: pytest.MonkeyPatch, unknown: int, steps: list[int]
) -> None:
    tier, taken, done = make_tier(tmp_path), list[int](), list[int]()

    def scan() -> Iterator[int]:
        for step in range(5):
            taken.append(step)
            yield unknown

    monkeypatch.setattr(tier, "scan", scan)
    monkeypatch.setattr("imgserve.cache.bounded._STEP_SECONDS", 0.0)
    monkeypatch.setattr("imgserve.cache.bounded._HASTY_STEP_SECONDS", 60.0)
    for _ in range(3):
        tier.maintain()
        done.append(len(taken))
    assert done == steps
