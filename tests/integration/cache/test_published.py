"""The links by which a web server finds renditions."""

import os
from pathlib import Path

import pytest

from imgserve.cache.published import PublishedLinks

NOW = 1_800_000_500.0
WINDOW = "published/1800000"
RENDITION = "renditions/ab/abc/1-2-width=20.png"


@pytest.fixture
def used() -> list[str]:
    return []


@pytest.fixture
def links(tmp_path: Path, used: list[str]) -> PublishedLinks:
    write(tmp_path, RENDITION)
    return PublishedLinks(tmp_path, 3, used.append)


def write(root: Path, path: str, modified: float = NOW - 100) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(path)
    os.utime(root / path, (modified, modified))


def found(root: Path) -> dict[str, str]:
    """Return the content that a web server finds, by the name of the link."""
    files = [path for path in (root / "published").rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_text() for path in files}


def test_a_link_leads_to_its_rendition_wherever_the_folder_is_mounted(
    tmp_path: Path, links: PublishedLinks, used: list[str]
) -> None:
    assert links.flush({"fixed/a.png/@w=20.png": RENDITION}, NOW) == {}
    expected = {f"{WINDOW}/fixed/a.png/@w=20.png": RENDITION}
    assert found(tmp_path) == expected
    assert used == [RENDITION]
    moved = tmp_path.rename(tmp_path.with_name("elsewhere"))
    assert found(moved) == expected


def test_a_purged_rendition_is_not_found_and_a_new_version_is(tmp_path: Path, links: PublishedLinks) -> None:
    links.flush({"fixed/a": RENDITION}, NOW)
    (tmp_path / RENDITION).unlink()
    assert found(tmp_path) == {}
    links.flush({"fixed/a": RENDITION}, NOW)  # was purged before it was linked
    assert found(tmp_path) == {}
    write(tmp_path, "renditions/ab/abc/2-2-width=20.png")
    links.flush({"fixed/a": "renditions/ab/abc/2-2-width=20.png"}, NOW)
    assert found(tmp_path) == {f"{WINDOW}/fixed/a": "renditions/ab/abc/2-2-width=20.png"}


@pytest.mark.parametrize(
    ("age", "linked", "late"), [(1, True, False), (0, False, True), (-1, False, True), (-60, False, False)]
)
def test_a_file_is_linked_after_the_second_in_which_it_was_written(
    tmp_path: Path, links: PublishedLinks, age: float, linked: bool, late: bool
) -> None:
    write(tmp_path, RENDITION, NOW - age)
    assert bool(links.flush({"fixed/a": RENDITION}, NOW)) == late
    assert bool(found(tmp_path)) == linked


def test_links_are_bounded_and_a_new_window_begins_without_any(tmp_path: Path, links: PublishedLinks) -> None:
    offered = {f"fixed/{number}": RENDITION for number in range(5)}
    for _ in range(2):
        links.flush(offered, NOW)
        assert len(found(tmp_path)) == 3
    links.flush({"fixed/9": RENDITION}, NOW + 1000)
    assert list(found(tmp_path)) == ["published/1800001/fixed/9"]


def test_all_links_of_a_killed_server_are_removed_and_nothing_else(
    tmp_path: Path, links: PublishedLinks, used: list[str]
) -> None:
    links.flush({"fixed/a": RENDITION}, NOW)
    PublishedLinks(tmp_path, 3, used.append).clear()
    assert found(tmp_path) == {}
    assert (tmp_path / RENDITION).exists()
    links.flush({"fixed/a": RENDITION}, NOW)
    assert len(found(tmp_path)) == 1
