"""A catalog that is locked or deleted while originals change: nothing is half-recorded, and all is found again."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from imgserve.errors import CatalogUnavailable, ImageNotFound
from imgserve.library.inspect import Recording
from imgserve.rendering.pool import ProcessPool
from tests.library_rig import Rig, open_rig, picture

pytestmark = pytest.mark.anyio

PAUSE = 1.1
"""After a failure the catalog is left alone for a second."""


async def test_while_the_catalog_is_locked_changes_fail_and_nothing_is_lost(
    tmp_path: Path, pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.catalogs.PATIENCE", 1)
    async with open_rig(tmp_path, f"sqlite:///{tmp_path}/catalog.sqlite", pool=pool, trash_seconds=60) as rig:
        kept = (await rig.upload(picture(), "a.png")).record
        rig.put("b.png", picture(1))
        with sqlite3.connect(tmp_path / "catalog.sqlite", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            for change in (
                lambda: rig.ingest.record("b.png"),
                lambda: rig.ingest.change("a.png", {"title": "T"}),
                lambda: rig.upload(picture(2), "c.png"),
                lambda: rig.ingest.delete("a.png"),
            ):
                with pytest.raises(CatalogUnavailable):
                    await change()
                await asyncio.sleep(PAUSE)
            other.execute("ROLLBACK")
        other.close()
        (item,) = await rig.ingest.trash()
        assert await rig.scan() == {"b.png": "created", "c.png": "created"}
        assert await rig.catalog.images.get("a.png") is None
        assert await rig.ingest.restore(item.item) == kept


async def test_a_catalog_that_is_deleted_is_missed_and_made_anew_only_by_a_new_start(
    tmp_path: Path, pool: ProcessPool
) -> None:
    address = f"sqlite:///{tmp_path}/catalog.sqlite"
    async with open_rig(tmp_path, address, pool=pool) as rig:
        await rig.upload(picture(), "a.png")
        (tmp_path / "catalog.sqlite").unlink()
        await refused(rig)
        assert {one.image_id for one in rig.walked()} == {"a.png"}
        assert not (tmp_path / "catalog.sqlite").exists()
    async with open_rig(tmp_path, address, pool=pool) as rig:
        assert (await rig.ingest.record("a.png")).outcome is Recording.CREATED
        with pytest.raises(ImageNotFound):
            await rig.ingest.delete("b.png")


async def refused(rig: Rig) -> None:
    """Try every kind of change, each of which says the same."""
    for change in (
        lambda: rig.ingest.record("a.png"),
        lambda: rig.ingest.record_many(rig.walked()),
        lambda: rig.upload(picture(1)),
        lambda: rig.ingest.delete("a.png"),
        lambda: rig.ingest.delete_many(["a.png"]),
        lambda: rig.ingest.change("a.png", {"title": "T"}),
        lambda: rig.ingest.tag_many(["a.png"], ["x"], []),
    ):
        with pytest.raises(CatalogUnavailable):
            await change()
