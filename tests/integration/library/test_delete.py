"""Originals deleted: to the trash with all that was recorded, restored whole, or gone for good."""

import os
from pathlib import Path

import pytest

from imgserve.catalog import ImageQuery
from imgserve.errors import ImageExists, ImageNotFound, ReadOnlyOriginals, TrashItemNotFound, UnreadableImage
from imgserve.library.results import Deleted, Details
from imgserve.model import FocalPoint
from tests.ingests import House, house, kinds_of_notices, later, picture

pytestmark = pytest.mark.anyio

SAID = Details("Title \ud83d", "Alt", "Text", ("x", "ü"), {"a": [1, None, {"b": "\0"}]}, FocalPoint(0, 1))


async def test_a_deleted_image_is_in_the_trash_and_comes_back_as_it_was(home: House) -> None:
    before = (await home.upload(picture(), "a/b.png", details=SAID, who="key")).record
    key = await home.render("a/b.png")
    deleted = await home.door.delete("a/b.png")
    assert deleted.item is not None
    assert deleted.until is not None
    assert not (home.root / "a").exists()
    assert await home.catalog.images.versions() == {}
    assert await home.cache.get(key) is None
    assert home.ear.purged[-1] == ({"a/b.png"}, [])
    assert (await kinds_of_notices(home.catalog))[-1] == ("changed", "a/b.png")
    (item,) = await home.door.trash()
    assert (item.item, item.image_id, item.size) == (deleted.item, "a/b.png", len(picture()))
    assert abs((item.until - deleted.until).total_seconds()) < 60
    assert await home.door.restore(deleted.item) == before
    assert await home.catalog.images.get("a/b.png") == before
    assert (home.root / "a/b.png").read_bytes() == picture()
    assert home.ear.recorded[-1].version == before.version
    assert await home.door.trash() == []
    assert await home.scan() == {"a/b.png": "unchanged"}
    assert len(home.inspected) == 1


async def test_without_trash_it_is_gone(tmp_path: Path, address: str) -> None:
    async with house(tmp_path, address) as home:
        await home.upload(picture(), "a.png")
        assert await home.door.delete("a.png") == Deleted("a.png")
        assert await home.door.trash() == []
        assert home.walked() == []


async def test_what_is_not_there_cannot_be_deleted(home: House) -> None:
    for image_id in ("absent.png", "../x", ".imgserve/catalog.sqlite", "a\0b"):
        with pytest.raises(ImageNotFound):
            await home.door.delete(image_id)


async def test_what_is_only_read_stays_and_hinders_nobody(tmp_path: Path, address: str) -> None:
    (tmp_path / "archive").mkdir()
    async with house(tmp_path, address, mounts=["archive"]) as home:
        (tmp_path / "archive/a.png").write_bytes(picture())
        home.put("b.png", picture(1))
        await home.scan()
        deleted = await home.door.delete_many(ImageQuery())
        assert [one.image_id for one in deleted] == ["b.png"]
        assert list(await home.catalog.images.versions()) == ["archive/a.png"]
        for delete in (home.door.delete("archive/a.png"), home.door.delete_many(["archive/a.png", "absent.png"])):
            with pytest.raises(ReadOnlyOriginals):
                await delete
        with pytest.raises(ImageNotFound):
            await home.door.delete("archive/absent.png")


async def test_a_record_without_a_file_and_a_file_without_a_record_can_be_deleted(home: House) -> None:
    await home.upload(picture(), "a.png")
    (home.root / "a.png").unlink()
    assert await home.door.delete("a.png") == Deleted("a.png")
    assert await home.catalog.images.versions() == {}
    home.put("b.png", picture(1))
    deleted = await home.door.delete("b.png")
    assert deleted.item is not None
    assert home.ear.purged[-1] == ({"b.png"}, [])
    assert (await home.door.restore(deleted.item)).image_id == "b.png"


async def test_a_problem_is_deleted_and_restored_as_one(home: House) -> None:
    home.put("a.png", b"nothing")
    await home.door.record("a.png")
    deleted = await home.door.delete("a.png")
    assert await home.catalog.problems.count() == 0
    assert deleted.item is not None
    with pytest.raises(UnreadableImage):
        await home.door.restore(deleted.item)
    assert (home.root / "a.png").exists()
    assert await home.catalog.problems.count() == 1


async def test_what_has_another_one_in_its_place_is_not_restored(home: House) -> None:
    await home.upload(picture(1), "a.png")
    deleted = await home.door.delete("a.png")
    second = (await home.upload(picture(2), "a.png")).record
    assert deleted.item is not None
    with pytest.raises(ImageExists):
        await home.door.restore(deleted.item)
    assert await home.catalog.images.get("a.png") == second
    assert len(await home.door.trash()) == 1
    with pytest.raises(TrashItemNotFound):
        await home.door.restore("nothing")


async def test_a_restore_that_fails_leaves_no_record(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await home.upload(picture(), "a.png")
    deleted = await home.door.delete("a.png")
    assert deleted.item is not None

    def fail(_: str) -> None:
        raise ImageExists

    monkeypatch.setattr(home.originals, "restore", fail)
    with pytest.raises(ImageExists):
        await home.door.restore(deleted.item)
    assert await home.catalog.images.versions() == {}


async def test_the_trash_is_emptied_by_age(home: House) -> None:
    items = []
    for number in range(3):
        await home.upload(picture(number), f"{number}.png")
        items.append((await home.door.delete(f"{number}.png")).item)
    assert await home.door.expire_trash() == 0
    assert await home.door.empty_trash(older_than=1000) == 0
    await home.door.destroy(str(items[0]))
    with pytest.raises(TrashItemNotFound):
        await home.door.destroy(str(items[0]))
    await later()
    assert await home.door.empty_trash() == 2
    assert await home.door.trash() == []


async def test_many_are_deleted_by_a_query_each_whole(home: House) -> None:
    for number in range(70):
        home.put(f"a/{number:02}.png", picture(number))
    home.put("b.png", picture(99))
    await home.scan()
    deleted = await home.door.delete_many(ImageQuery(prefix="a/"))
    assert [one.image_id for one in deleted] == [f"a/{number:02}.png" for number in range(70)]
    assert len(await home.door.trash()) == 70
    assert set(await home.catalog.images.versions()) == {"b.png"}
    assert await home.door.delete_many(ImageQuery(prefix="a/")) == []


async def test_of_many_ids_those_that_are_absent_are_missing_in_the_answer(home: House) -> None:
    name = os.fsdecode(b"\xff.png")
    home.put(name, picture())
    home.put("a.png", picture(1))
    await home.scan()
    deleted = await home.door.delete_many([name, "absent", "\ud800", "a.png", "a.png"])
    assert [one.image_id for one in deleted] == [name, "a.png"]
    assert await home.catalog.images.versions() == {}


async def test_one_that_cannot_be_deleted_stops_the_rest_and_leaves_all_whole(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await home.upload(picture(number), f"{number}.png")
    discard = home.originals.discard

    def failing(image_id: str, sidecar: dict[str, object]) -> str:
        if image_id == "2.png":
            raise OSError("no")
        return discard(image_id, sidecar)

    monkeypatch.setattr(home.originals, "discard", failing)
    with pytest.raises(OSError, match="no"):
        await home.door.delete_many(ImageQuery())
    assert sorted(await home.catalog.images.versions()) == ["2.png", "3.png"]
    assert await home.scan() == {"2.png": "unchanged", "3.png": "unchanged"}
