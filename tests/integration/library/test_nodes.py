"""What one node purges, every tier of every other node loses, also later."""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imgserve.cache import DiskTier, MemoryTier, MezzanineTier, RenditionKey, TieredCache
from imgserve.catalog import Catalog, Notice
from imgserve.library.invalidation import PURGES_KEPT, InvalidationListener, NodeFolder, NodeInvalidator
from imgserve.library.record import ChangePublisher
from imgserve.model import Rendition
from tests.catalogs import opened

pytestmark = pytest.mark.anyio

PICTURE = Rendition(b"bytes", "image/png", 4, 3)


def key(name: str) -> RenditionKey:
    return RenditionKey(name, "1_1", "w=1", "r", "png")


class Node:
    """A node with a cache of its own."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self.folder = NodeFolder(folder)
        self.mezzanines = MezzanineTier(folder, 10**6)
        self.cache = TieredCache(MemoryTier(10**6), DiskTier(folder, 10**6), self.mezzanines)
        self.publisher = ChangePublisher(self.cache, catalog.notices, lambda _: None, self.folder)
        self.invalidator = NodeInvalidator(catalog.notices, self.cache, self.folder)

    async def fill(self, *names: str) -> None:
        for name in names:
            await self.cache.put(key(name), PICTURE)
            place = self.mezzanines.place()
            assert place is not None
            place.write_bytes(b"pixels")
            assert self.mezzanines.adopt(key(name), place)

    async def kept(self) -> list[str]:
        """Return what is on the disk, mezzanines in capital letters."""
        renditions = [name for name in "abc" if await self.cache.get(key(name))]
        return renditions + [name.upper() for name in "abc" if self.mezzanines.locate(key(name))]


@pytest.fixture
async def nodes(address: str, tmp_path: Path) -> AsyncIterator[tuple[Node, Node, Catalog]]:
    async with opened(address) as catalog:
        here, there = Node(catalog, tmp_path / "here"), Node(catalog, tmp_path / "there")
        for node in (here, there):
            await node.fill(*"abc")
            await node.invalidator.follow()
        yield here, there, catalog
        for node in (here, there):
            await node.cache.close()


async def purge(node: Node, image_id: str, *, mezzanines: bool) -> None:
    await node.publisher.purge([image_id], mezzanines=mezzanines)
    await node.publisher.notify([Notice("purged", image_id, mezzanines)])


async def test_a_purge_reaches_the_disk_of_other_nodes(nodes: tuple[Node, Node, Catalog]) -> None:
    here, there, _ = nodes
    await purge(here, "a", mezzanines=False)
    await there.invalidator.follow()
    assert await there.kept() == ["b", "c", "A", "B", "C"]
    await here.publisher.changed(["b"], purged=["b"])
    await there.invalidator.follow()
    assert await there.kept() == ["c", "A", "C"]
    await there.cache.purge(None, mezzanines=True)
    await there.publisher.notify([Notice("everything", mezzanines=True)])
    await here.invalidator.follow()
    assert await here.kept() == []


async def test_what_comes_back_from_the_disk_before_that_has_followed_leaves_the_memory_again(
    nodes: tuple[Node, Node, Catalog], tmp_path: Path
) -> None:
    here, there, catalog = nodes
    process = Node(catalog, tmp_path / "there")  # a second process of that node
    listener = InvalidationListener(catalog.notices, process.cache, forget=lambda _: None, node=process.folder)
    await listener.follow()
    await purge(here, "a", mezzanines=False)
    for _ in range(2):
        await listener.follow()
        assert await process.cache.get(key("a")), "it is on the disk still"
    await there.invalidator.follow()
    await listener.follow()
    assert process.cache.peek(key("a")) is None
    await process.fill("a")
    await listener.follow()
    assert process.cache.peek(key("a")), "it was made after the purge"
    await process.cache.close()


async def test_what_a_node_makes_after_its_own_purge_stays(nodes: tuple[Node, Node, Catalog]) -> None:
    here, _, _ = nodes
    await purge(here, "a", mezzanines=True)
    await here.fill("a")
    await here.invalidator.follow()
    assert await here.kept() == ["a", "b", "c", "A", "B", "C"]


async def test_a_node_that_was_off_catches_up(nodes: tuple[Node, Node, Catalog], tmp_path: Path) -> None:
    here, there, catalog = nodes
    await there.cache.close()
    await purge(here, "a", mezzanines=True)
    again = Node(catalog, tmp_path / "there")
    assert again.folder.name == there.folder.name
    await again.invalidator.follow()
    assert await again.kept() == ["b", "c", "B", "C"]
    await again.fill("a")
    await again.cache.close()
    once_more = Node(catalog, tmp_path / "there")
    await once_more.invalidator.follow()
    assert await once_more.kept() == ["a", "b", "c", "A", "B", "C"], "what was followed is not followed again"


async def test_a_node_that_was_off_for_too_long_empties_its_cache(
    nodes: tuple[Node, Node, Catalog], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, there, catalog = nodes
    await there.cache.close()
    long_ago = time.time() - PURGES_KEPT
    os.utime(tmp_path / "there" / "followed", (long_ago, long_ago))
    again = Node(catalog, tmp_path / "there")
    with caplog.at_level(logging.WARNING, "imgserve"):
        await again.invalidator.follow()
    assert await again.kept() == []
    assert "the cache is emptied" in caplog.text
    await again.fill("a")
    await again.invalidator.follow()
    assert await again.kept() == ["a", "A"]


async def test_a_node_keeps_its_cache_where_the_catalog_is_new(
    nodes: tuple[Node, Node, Catalog], tmp_path: Path
) -> None:
    _, there, _ = nodes
    there.folder.note(1000)
    await there.cache.close()
    async with opened(f"sqlite:///{tmp_path}/new.sqlite") as catalog:
        again = Node(catalog, tmp_path / "there")
        await again.invalidator.follow()
        assert await again.kept() == ["a", "b", "c", "A", "B", "C"]
        await catalog.notices.publish([Notice("purged", "a")])
        await again.invalidator.follow()
        assert await again.kept() == ["b", "c", "A", "B", "C"]


async def test_a_running_node_follows_within_two_seconds(nodes: tuple[Node, Node, Catalog]) -> None:
    here, there, _ = nodes
    task = asyncio.create_task(there.invalidator.run())
    began = time.monotonic()
    await purge(here, "c", mezzanines=True)
    while "c" in await there.kept():
        assert time.monotonic() < began + 30
        await asyncio.sleep(0.05)
    task.cancel()
    assert await there.kept() == ["a", "b", "A", "B"]


def test_a_copied_folder_is_that_of_another_node(tmp_path: Path) -> None:
    name = NodeFolder(tmp_path / "here").name
    assert NodeFolder(tmp_path / "here").name == name
    shutil.copytree(tmp_path / "here", tmp_path / "copy")
    assert NodeFolder(tmp_path / "copy").name != name


async def test_a_node_without_a_folder_has_a_name_until_it_ends(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    folder = NodeFolder(tmp_path / "file")
    assert folder.name == folder.name != NodeFolder(tmp_path / "file").name
    assert folder.position() is None
