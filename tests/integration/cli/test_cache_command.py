"""`imgserve cache`: statistics, purge and sweep of both tiers on disk."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from imgserve.cache import DiskTier, MezzanineTier, RenditionKey
from imgserve.cli.cache import cache as command
from imgserve.model import Rendition
from tests.pictures import encoded, quarters
from tests.servers import server, settled

DATA = encoded(quarters(8, 8), "png")


def key(image_id: str) -> RenditionKey:
    return RenditionKey(image_id, "1-1", "w=8", "r", "png")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    disk, mezzanines = DiskTier(folder, 10**6), MezzanineTier(folder, 10**6)
    for image_id in "ab":
        disk.put(key(image_id), Rendition(DATA, "image/png", 8, 8))
        place = mezzanines.place()
        assert place
        place.write_bytes(b"m" * 1000)
        mezzanines.adopt(key(image_id), place)
    disk.close()
    mezzanines.close()
    return folder


def run(folder: Path, *arguments: str, **environment: str) -> list[str]:
    done = CliRunner().invoke(command, [*arguments, "--cache", str(folder)], env=environment)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_stats_report_both_tiers_and_their_budgets(cache: Path) -> None:
    renditions, mezzanines = run(cache, "stats", IMGSERVE_CACHE__MEZZANINE_BYTES="3GB")
    assert renditions.startswith("2 renditions, ")
    assert " of 10 GB, least recently used 20" in renditions
    assert mezzanines.startswith("2 mezzanines, 2 KB of 3 GB, ")
    for line, tier, limit in zip(
        run(cache, "stats", "--json"), ("rendition", "mezzanine"), (10**10, 2 * 10**9), strict=True
    ):
        usage = json.loads(line)
        assert (usage["tier"], usage["entries"], usage["limit_bytes"]) == (tier, 2, limit)
        assert usage["oldest"].startswith("20")


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
    assert second == "0 leftovers removed; 1 mezzanine, 1 KB"


def test_a_tier_that_is_off_is_left_alone(cache: Path) -> None:
    assert run(cache, "purge", "a", IMGSERVE_CACHE__MEZZANINE_BYTES="0")[1] == "0 mezzanines removed"
    assert run(cache, "sweep", IMGSERVE_CACHE__MEZZANINE_BYTES="0")[1] == "0 leftovers removed; 0 mezzanines, 0 B"
    assert run(cache, "stats")[1].startswith("2 mezzanines, ")


def put(folder: Path, image_id: str, canonical: str, data: bytes) -> None:
    disk = DiskTier(folder, 10**6)
    disk.put(RenditionKey(image_id, "1-1", canonical, "r", "png"), Rendition(data, "image/png", 8, 8))
    disk.close()


def test_a_purge_takes_several_images_or_all_and_nothing_without_either(cache: Path) -> None:
    put(cache, "c", "w=8", DATA)
    removed = [json.loads(line) for line in run(cache, "purge", "a", "c", "--json")]
    assert [(one["tier"], one["removed"], one["entries"]) for one in removed] == [
        ("rendition", 2, 1),
        ("mezzanine", 1, 1),
    ]
    assert run(cache, "purge", "--all") == ["1 rendition removed", "1 mezzanine removed"]
    for arguments in ([], ["a", "--all"]):
        assert CliRunner().invoke(command, ["purge", *arguments, "--cache", str(cache)]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--sort", "size"], ["c", "a", "b"]),
        (["--sort", "age"], ["a", "b", "c"]),
        (["--sort", "original"], None),
        (["--sort", "size", "--limit", "1"], ["c"]),
        (["b"], ["b"]),
        (["missing"], []),
        (["--mezzanines"], ["a", "b"]),
    ],
)
def test_files_are_listed_by_size_by_age_and_by_original(
    cache: Path, arguments: list[str], ids: list[str] | None
) -> None:
    time.sleep(0.01)
    put(cache, "c", "width=9", encoded(quarters(50, 50), "png"))
    originals = cache.with_name("originals")
    for name in "abc":
        originals.mkdir(exist_ok=True)
        (originals / name).touch()
    named = ["--originals", str(originals)] if not set(arguments) & set("b") else []
    listed = [json.loads(line) for line in run(cache, "ls", *arguments, *named, "--json")]
    if ids is None:
        ids = sorted("abc", key=lambda one: key(one).folder)
    assert [one["id"] or one["file"] for one in listed] == [
        one["file"] if one["id"] is None else name for one, name in zip(listed, ids, strict=True)
    ]
    assert {(one["format"], one["width"]) for one in listed} <= {("png", 8), ("", 0)}


def test_a_list_for_people_has_a_header_and_names_the_transform(cache: Path) -> None:
    header, line, _ = run(cache, "ls", "--sort", "original")
    assert header.split() == ["SIZE", "PIXELS", "USED", "FORMAT", "ID", "TRANSFORM"]
    assert line.split()[2] == "8x8"
    assert line.endswith("  w=8")
    assert run(cache, "ls", "a")[1].split()[-2:] == ["a", "w=8"]


def damage(cache: Path) -> Path:
    file = cache / key("a").path
    file.write_bytes(DATA[:-1] + b"!")
    return file


def test_damaged_files_are_found_and_removed(cache: Path) -> None:
    assert run(cache, "verify")[0].endswith("; 0 damaged and removed")
    file = damage(cache)
    (cache / key("b").path_in("mezzanines")).write_bytes(b"short")
    seen = CliRunner().invoke(command, ["verify", "--dry-run", "--cache", str(cache)])
    assert seen.exit_code == 1
    assert seen.output.count("damaged: ") == 2
    assert file.exists()
    done = CliRunner().invoke(command, ["verify", "--json", "--cache", str(cache)])
    assert done.exit_code == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["removed"], line["entries"]) for line in lines] == [(1, 1), (1, 1)]
    assert not file.exists()
    assert run(cache, "verify")[0].startswith("1 rendition, ")


def test_commands_work_next_to_a_running_server(tmp_path: Path) -> None:
    photos, folder = tmp_path / "photos", tmp_path / "cache"
    settled(photos / "a.png", encoded(quarters(), "png"))
    with server(photos, "--cache", folder, env={"IMGSERVE_CACHE__MEMORY_BYTES": "0"}) as running:
        target = "/img/a.png?width=40"
        first = running.get(target)
        assert running.get(target).headers["cache-status"].endswith("detail=disk")
        assert "width=40" in run(folder, "ls", "a.png", "--originals", str(photos))[1]
        assert run(folder, "verify")[0].startswith("1 rendition, ")
        run(folder, "sweep")
        assert run(folder, "purge", "a.png")[0] == "1 rendition removed"
        again = running.get(target)
        assert "fwd=miss" in again.headers["cache-status"]
        assert again.content == first.content
