"""The links by which a web server finds renditions."""

import os
import time
from pathlib import Path

import anyio
import pytest

from imgserve.cache import DiskTier, MemoryTier, RenditionKey, TieredCache
from imgserve.cache.published import PublishedLinks
from imgserve.model import Rendition
from tests.pictures import encoded, quarters

pytestmark = pytest.mark.anyio
NOW = 1_800_000_500.0
WINDOW = "published/1800000"
KEY = RenditionKey("a.png", "1-1", "width=20", "r", "png")
NEWER = RenditionKey("a.png", "2-1", "width=20", "r", "png")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def cache(tmp_path: Path) -> TieredCache:
    return TieredCache(MemoryTier(10**6), DiskTier(tmp_path, 10**6))


@pytest.fixture
def links(tmp_path: Path, cache: TieredCache) -> PublishedLinks:
    write(tmp_path, KEY)
    return PublishedLinks(tmp_path, 3, cache)


def write(root: Path, key: RenditionKey, modified: float = NOW - 100) -> None:
    (root / key.path).parent.mkdir(parents=True, exist_ok=True)
    (root / key.path).write_text(key.path)
    os.utime(root / key.path, (modified, modified))


def found(root: Path) -> dict[str, str]:
    """Return the content that a web server finds, by the name of the link."""
    files = [path for path in (root / "published").rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_text() for path in files}


def test_a_link_leads_to_its_rendition_wherever_the_folder_is_mounted(tmp_path: Path, links: PublishedLinks) -> None:
    assert links.flush({"fixed/a.png/@w=20.png": KEY}, NOW) == ({}, [])
    expected = {f"{WINDOW}/fixed/a.png/@w=20.png": KEY.path}
    assert found(tmp_path) == expected
    moved = tmp_path.rename(tmp_path.with_name("elsewhere"))
    assert found(moved) == expected


def test_a_purged_rendition_is_not_found_and_a_new_version_is(tmp_path: Path, links: PublishedLinks) -> None:
    links.flush({"fixed/a": KEY}, NOW)
    (tmp_path / KEY.path).unlink()
    assert found(tmp_path) == {}
    assert links.flush({"fixed/a": KEY}, NOW) == ({}, [KEY])  # was purged before it was linked
    assert found(tmp_path) == {}
    write(tmp_path, NEWER)
    links.flush({"fixed/a": NEWER}, NOW)
    assert found(tmp_path) == {f"{WINDOW}/fixed/a": NEWER.path}


async def test_publishing_counts_as_a_use(tmp_path: Path, cache: TieredCache) -> None:
    data = encoded(quarters(8, 8), "png")
    other = RenditionKey("b.png", "1-1", "width=20", "r", "png")
    for key in (KEY, other):
        await cache.put(key, Rendition(data, "image/png", 8, 8))
    links = PublishedLinks(tmp_path, 3, cache)
    links.flush({"fixed/a": KEY}, time.time())
    await cache.close()
    disk = DiskTier(tmp_path, 10**6)
    assert [entry.path for entry in disk.sorted_by("age", 9)] == [other.path, KEY.path]
    disk.close()


async def test_a_rendition_that_only_memory_has_is_written_again_and_published(
    tmp_path: Path, cache: TieredCache
) -> None:
    await cache.put(KEY, Rendition(encoded(quarters(8, 8), "png"), "image/png", 8, 8))
    (tmp_path / KEY.path).unlink()
    links = PublishedLinks(tmp_path, 3, cache)
    async with anyio.create_task_group() as group:
        group.start_soon(links.run)
        while not list((tmp_path / "published").rglob("a")):
            links.offer("fixed/a", KEY)
            await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    (link,) = (tmp_path / "published").rglob("a")
    assert link.is_file()
    await cache.close()


@pytest.mark.parametrize(
    ("age", "linked", "late"), [(1, True, False), (0, False, True), (-1, False, True), (-60, False, False)]
)
def test_a_file_is_linked_after_the_second_in_which_it_was_written(
    tmp_path: Path, links: PublishedLinks, age: float, linked: bool, late: bool
) -> None:
    write(tmp_path, KEY, NOW - age)
    assert links.flush({"fixed/a": KEY}, NOW) == ({"fixed/a": KEY} if late else {}, [])
    assert bool(found(tmp_path)) == linked


def test_links_are_bounded_and_a_new_window_begins_without_any(tmp_path: Path, links: PublishedLinks) -> None:
    offered = {f"fixed/{number}": KEY for number in range(5)}
    for _ in range(2):
        links.flush(offered, NOW)
        assert len(found(tmp_path)) == 3
    links.flush({"fixed/9": KEY}, NOW + 1000)
    assert list(found(tmp_path)) == ["published/1800001/fixed/9"]


def test_all_links_of_a_killed_server_are_removed_and_nothing_else(
    tmp_path: Path, links: PublishedLinks, cache: TieredCache
) -> None:
    links.flush({"fixed/a": KEY}, NOW)
    PublishedLinks(tmp_path, 3, cache).clear()
    assert found(tmp_path) == {}
    assert (tmp_path / KEY.path).exists()
    links.flush({"fixed/a": KEY}, NOW)
    assert len(found(tmp_path)) == 1
