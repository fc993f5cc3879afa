"""`imgserve cache`: statistics, purge and sweep of both tiers on disk."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from imgserve.cache import DiskTier, MezzanineTier, RenditionKey
from imgserve.cli.cache import cache as command
from imgserve.model import Rendition
from tests.pictures import encoded, quarters

DATA = encoded(quarters(8, 8), "png")


def key(image_id: str) -> RenditionKey:
    return RenditionKey(image_id, "1-1", "w=8", "r", "png")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    disk, mezzanines = DiskTier(tmp_path, 10**6), MezzanineTier(tmp_path, 10**6)
    for image_id in "ab":
        disk.put(key(image_id), Rendition(DATA, "image/png", 8, 8))
        place = mezzanines.place()
        assert place
        place.write_bytes(b"m" * 1000)
        mezzanines.adopt(key(image_id), place)
    disk.close()
    mezzanines.close()
    return tmp_path


def run(folder: Path, *arguments: str, **environment: str) -> list[str]:
    done = CliRunner().invoke(command, [*arguments, "--cache", str(folder)], env=environment)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_stats_report_both_tiers_and_their_budgets(cache: Path) -> None:
    renditions, mezzanines = run(cache, "stats", IMGSERVE_CACHE__MEZZANINE_BYTES="3GB")
    assert renditions.startswith("2 renditions, ")
    assert renditions.endswith(" of 10 GB")
    assert mezzanines == "2 mezzanines, 2 KB of 3 GB"


def test_the_current_folder_may_contain_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (cache, cache.parent, cache / "renditions"):
        monkeypatch.chdir(folder)
        assert run(cache, "stats")[0].startswith("2 renditions, ")


def test_a_purge_takes_both_of_one_image(cache: Path) -> None:
    assert run(cache, "purge", "a") == ["1 rendition removed", "1 mezzanine removed"]
    assert [line.split(",")[0] for line in run(cache, "stats")] == ["1 rendition", "1 mezzanine"]


def test_a_sweep_tidies_both_and_keeps_the_budgets(cache: Path) -> None:
    (cache / ".tmp" / "4194303.0a.1").write_bytes(b"half")
    (cache / key("a").path_in("mezzanines")).unlink()
    first, second = run(cache, "sweep", IMGSERVE_CACHE__DISK_BYTES=str(len(DATA)))
    assert first.startswith("1 leftover removed; 1 rendition, ")
    assert second == "1 mezzanine, 1 KB"


def test_a_tier_that_is_off_is_left_alone(cache: Path) -> None:
    assert run(cache, "purge", "a", IMGSERVE_CACHE__MEZZANINE_BYTES="0")[1] == "0 mezzanines removed"
    assert run(cache, "sweep", IMGSERVE_CACHE__MEZZANINE_BYTES="0")[1] == "0 mezzanines, 0 B"
    assert run(cache, "stats")[1].startswith("2 mezzanines, ")
