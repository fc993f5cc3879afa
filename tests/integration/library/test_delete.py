"""Originals deleted: to the trash with all that was recorded, restored whole, or gone for good."""

import logging
import os
from pathlib import Path

import pytest

from imgserve.catalog import ImageQuery
from imgserve.errors import ImageExists, ImageNotFound, ReadOnlyOriginals, TrashItemNotFound, UnreadableImage
from imgserve.model import FocalPoint
from imgserve.records import Deleted
from imgserve.rendering.pool import ProcessPool
from tests.library_rig import Rig, kinds_of_notices, later, open_rig, picture

pytestmark = pytest.mark.anyio

SAID = {
    "title": "Title \ud83d",
    "alt": "Alt",
    "description": "Text",
    "tags": ("x", "ü"),
    "metadata": {"a": [1, None, {"b": "\0"}]},
    "focal_point": FocalPoint(0, 1),
}


async def test_deletions_are_logged(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    await rig.upload(picture(), "a/b.png")
    with caplog.at_level(logging.INFO, "imgserve.library"):
        deleted = await rig.ingest.delete("a/b.png")
        await rig.ingest.empty_trash()
    assert f"'a/b.png' was deleted to the trash, as {deleted.trash_item}" in caplog.text
    assert "1 of the deleted images were removed from the trash for good" in caplog.text


async def test_a_deleted_image_is_in_the_trash_and_comes_back_as_it_was(rig: Rig) -> None:
    before = (await rig.upload(picture(), "a/b.png", details=SAID, who="key")).record
    key = await rig.render("a/b.png")
    deleted = await rig.ingest.delete("a/b.png")
    assert deleted.trash_item is not None
    assert deleted.until is not None
    assert not (rig.root / "a").exists()
    assert await rig.catalog.images.versions() == {}
    assert await rig.cache.get(key) is None
    assert rig.ear.purged[-1] == ({"a/b.png"}, [])
    assert (await kinds_of_notices(rig.catalog))[-1] == ("purged", "a/b.png")
    (item,) = await rig.ingest.trash()
    assert (item.item, item.image_id, item.size) == (deleted.trash_item, "a/b.png", len(picture()))
    assert abs(((item.until or item.deleted) - deleted.until).total_seconds()) < 60
    assert await rig.ingest.restore(deleted.trash_item) == before
    assert await rig.catalog.images.get("a/b.png") == before
    assert (rig.root / "a/b.png").read_bytes() == picture()
    assert rig.ear.recorded[-1].version == before.version
    assert await rig.ingest.trash() == []
    assert await rig.scan() == {"a/b.png": "unchanged"}
    assert len(rig.inspected) == 1


async def test_without_trash_it_is_gone(tmp_path: Path, address: str, pool: ProcessPool) -> None:
    async with open_rig(tmp_path, address, pool=pool) as rig:
        await rig.upload(picture(), "a.png")
        assert await rig.ingest.delete("a.png") == Deleted("a.png")
        assert await rig.ingest.trash() == []
        assert rig.walked() == []


async def test_what_is_not_there_cannot_be_deleted(rig: Rig) -> None:
    for image_id in ("absent.png", "../x", ".imgserve/catalog.sqlite", "a\0b"):
        with pytest.raises(ImageNotFound):
            await rig.ingest.delete(image_id)


async def test_what_is_only_read_stays_and_blocks_nobody(tmp_path: Path, address: str, pool: ProcessPool) -> None:
    (tmp_path / "archive").mkdir()
    async with open_rig(tmp_path, address, pool=pool, mounts=["archive"]) as rig:
        (tmp_path / "archive/a.png").write_bytes(picture())
        rig.put("b.png", picture(1))
        await rig.scan()
        deleted = await rig.ingest.delete_many(ImageQuery())
        assert [one.image_id for one in deleted] == ["b.png"]
        assert list(await rig.catalog.images.versions()) == ["archive/a.png"]
        for delete in (rig.ingest.delete("archive/a.png"), rig.ingest.delete_many(["archive/a.png", "absent.png"])):
            with pytest.raises(ReadOnlyOriginals):
                await delete
        with pytest.raises(ImageNotFound):
            await rig.ingest.delete("archive/absent.png")


async def test_a_record_without_a_file_and_a_file_without_a_record_can_be_deleted(rig: Rig) -> None:
    await rig.upload(picture(), "a.png")
    (rig.root / "a.png").unlink()
    assert await rig.ingest.delete("a.png") == Deleted("a.png")
    assert await rig.catalog.images.versions() == {}
    rig.put("b.png", picture(1))
    deleted = await rig.ingest.delete("b.png")
    assert deleted.trash_item is not None
    assert rig.ear.purged[-1] == ({"b.png"}, [])
    assert (await rig.ingest.restore(deleted.trash_item)).image_id == "b.png"


async def test_a_problem_is_deleted_and_restored_as_one(rig: Rig) -> None:
    rig.put("a.png", b"nothing")
    await rig.ingest.record("a.png")
    deleted = await rig.ingest.delete("a.png")
    assert await rig.catalog.problems.count() == 0
    assert deleted.trash_item is not None
    with pytest.raises(UnreadableImage):
        await rig.ingest.restore(deleted.trash_item)
    assert (rig.root / "a.png").exists()
    assert await rig.catalog.problems.count() == 1


async def test_what_has_another_one_in_its_place_is_not_restored(rig: Rig) -> None:
    await rig.upload(picture(1), "a.png")
    deleted = await rig.ingest.delete("a.png")
    second = (await rig.upload(picture(2), "a.png")).record
    assert deleted.trash_item is not None
    with pytest.raises(ImageExists):
        await rig.ingest.restore(deleted.trash_item)
    assert await rig.catalog.images.get("a.png") == second
    assert len(await rig.ingest.trash()) == 1
    with pytest.raises(TrashItemNotFound):
        await rig.ingest.restore("nothing")


async def test_a_restore_that_fails_leaves_no_record(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.upload(picture(), "a.png")
    deleted = await rig.ingest.delete("a.png")
    assert deleted.trash_item is not None

    def fail(_: str) -> None:
        raise ImageExists

    monkeypatch.setattr(rig.originals.trash, "restore", fail)
    with pytest.raises(ImageExists):
        await rig.ingest.restore(deleted.trash_item)
    assert await rig.catalog.images.versions() == {}


async def test_the_trash_is_emptied_by_age(rig: Rig) -> None:
    items = []
    for number in range(3):
        await rig.upload(picture(number), f"{number}.png")
        items.append((await rig.ingest.delete(f"{number}.png")).trash_item)
    assert await rig.ingest.expire_trash() == 0
    assert await rig.ingest.empty_trash(older_than=1000) == 0
    await rig.ingest.destroy(str(items[0]))
    with pytest.raises(TrashItemNotFound):
        await rig.ingest.destroy(str(items[0]))
    await later()
    assert await rig.ingest.empty_trash() == 2
    assert await rig.ingest.trash() == []


async def test_many_are_deleted_by_a_query_each_whole(rig: Rig) -> None:
    for number in range(70):
        rig.put(f"a/{number:02}.png", picture(number))
    rig.put("b.png", picture(99))
    await rig.scan()
    deleted = await rig.ingest.delete_many(ImageQuery(prefix="a/"))
    assert [one.image_id for one in deleted] == [f"a/{number:02}.png" for number in range(70)]
    assert len(await rig.ingest.trash()) == 70
    assert set(await rig.catalog.images.versions()) == {"b.png"}
    assert await rig.ingest.delete_many(ImageQuery(prefix="a/")) == []


async def test_of_many_ids_those_that_are_absent_are_missing_in_the_answer(rig: Rig) -> None:
    name = os.fsdecode(b"\xff.png")
    rig.put(name, picture())
    rig.put("a.png", picture(1))
    await rig.scan()
    deleted = await rig.ingest.delete_many([name, "absent", "\ud800", "a.png", "a.png"])
    assert [one.image_id for one in deleted] == [name, "a.png"]
    assert await rig.catalog.images.versions() == {}


async def test_one_that_cannot_be_deleted_stops_the_rest_and_leaves_all_whole(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await rig.upload(picture(number), f"{number}.png")
    discard = rig.originals.discard

    def failing(image_id: str, sidecar: dict[str, object]) -> str:
        if image_id == "2.png":
            raise OSError("no")
        return discard(image_id, sidecar)

    monkeypatch.setattr(rig.originals, "discard", failing)
    with pytest.raises(OSError, match="no"):
        await rig.ingest.delete_many(ImageQuery())
    assert sorted(await rig.catalog.images.versions()) == ["2.png", "3.png"]
    assert await rig.scan() == {"2.png": "unchanged", "3.png": "unchanged"}
