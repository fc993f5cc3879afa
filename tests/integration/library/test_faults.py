"""A catalog that is locked or deleted while originals change: nothing is half-recorded, and all is found again."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from imgserve.errors import CatalogUnavailable, ImageNotFound
from imgserve.library.results import Recording
from tests.ingests import House, house, picture

pytestmark = pytest.mark.anyio

PAUSE = 1.1
"""After a failure the catalog is left alone for a second."""


async def test_while_the_catalog_is_locked_changes_fail_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.ingests.PATIENCE", 1)
    async with house(tmp_path, f"sqlite:///{tmp_path}/catalog.sqlite", trash_seconds=60) as home:
        kept = (await home.upload(picture(), "a.png")).record
        home.put("b.png", picture(1))
        with sqlite3.connect(tmp_path / "catalog.sqlite", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            for change in (
                lambda: home.door.record("b.png"),
                lambda: home.door.change("a.png", {"title": "T"}),
                lambda: home.upload(picture(2), "c.png"),
                lambda: home.door.delete("a.png"),
            ):
                with pytest.raises(CatalogUnavailable):
                    await change()
                await asyncio.sleep(PAUSE)
            other.execute("ROLLBACK")
        other.close()
        (item,) = await home.door.trash()
        assert await home.scan() == {"b.png": "created", "c.png": "created"}
        assert await home.catalog.images.get("a.png") is None
        assert await home.door.restore(item.item) == kept


async def test_a_catalog_that_is_deleted_is_missed_and_made_anew_only_by_a_new_start(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/catalog.sqlite"
    async with house(tmp_path, address) as home:
        await home.upload(picture(), "a.png")
        (tmp_path / "catalog.sqlite").unlink()
        await refused(home)
        assert {one.image_id for one in home.walked()} == {"a.png"}
        assert not (tmp_path / "catalog.sqlite").exists()
    async with house(tmp_path, address) as home:
        assert (await home.door.record("a.png")).outcome is Recording.CREATED
        with pytest.raises(ImageNotFound):
            await home.door.delete("b.png")


async def refused(home: House) -> None:
    """Try every kind of change, each of which says the same."""
    for change in (
        lambda: home.door.record("a.png"),
        lambda: home.door.record_many(home.walked()),
        lambda: home.upload(picture(1)),
        lambda: home.door.delete("a.png"),
        lambda: home.door.delete_many(["a.png"]),
        lambda: home.door.change("a.png", {"title": "T"}),
        lambda: home.door.tag_many(["a.png"], ["x"], []),
    ):
        with pytest.raises(CatalogUnavailable):
            await change()
