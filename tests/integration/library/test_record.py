"""Files that lie in place: recorded once, again when they change, as problems, and followed when they are renamed."""

import os
from pathlib import Path

import pytest

from imgserve.errors import OriginalUnsettled, Unavailable
from imgserve.library.results import Recording
from imgserve.model import FocalPoint, Limits, Origin
from tests.ingests import House, house, kinds_of_notices, later, picture

pytestmark = pytest.mark.anyio


async def test_a_new_file_is_recorded_with_its_facts(home: House) -> None:
    home.put("a b/ü.png", picture())
    recorded = await home.door.record("a b/ü.png")
    assert recorded.outcome is Recording.CREATED
    assert recorded.record == await home.catalog.images.get("a b/ü.png")
    assert recorded.record is not None
    assert (recorded.record.width, recorded.record.format, recorded.record.origin) == (40, "png", Origin.WATCH)
    assert recorded.record.version == home.originals.stat("a b/ü.png").version
    assert [one.image_id for one in home.ear.recorded] == ["a b/ü.png"]
    assert await kinds_of_notices(home.catalog) == [("changed", "a b/ü.png")]
    assert home.figure("watch", "created") == 1


async def test_what_is_known_is_not_inspected_again(home: House) -> None:
    home.put("a.png", picture())
    await home.door.record("a.png")
    key = await home.render("a.png")
    assert (await home.door.record("a.png")).outcome is Recording.UNCHANGED
    assert len(home.inspected) == 1
    assert await home.cache.get(key)
    assert home.ear.purged == []


async def test_a_replaced_file_is_recorded_anew_and_keeps_what_people_wrote(home: House) -> None:
    path = home.put("a.png", picture(1))
    first = (await home.door.record("a.png")).record
    assert first is not None
    await home.door.change("a.png", {"title": "Mine", "tags": ("x",), "focal_point": FocalPoint(0, 1)})
    key = await home.render("a.png")
    await later()
    path.write_bytes(picture(2))
    recorded = await home.door.record("a.png")
    assert recorded.outcome is Recording.REPLACED
    assert recorded.record is not None
    assert recorded.record.sha256 != first.sha256
    assert (recorded.record.title, recorded.record.tags, recorded.record.created) == ("Mine", ("x",), first.created)
    assert recorded.record.version == home.originals.stat("a.png").focused(FocalPoint(0, 1)).version
    assert await home.cache.get(key) is None
    assert home.ear.purged[-1] == ({"a.png"}, [])
    assert "a.png" in home.forgotten


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"no image", "unsupported_image"), (picture()[:-30], "unreadable_image")],
    ids=["text", "cut"],
)
async def test_what_is_no_usable_image_is_a_problem_and_no_record(home: House, data: bytes, code: str) -> None:
    home.put("a.png", data)
    recorded = await home.door.record("a.png", version=home.walked()[0].version)
    assert recorded.outcome is Recording.PROBLEM
    assert recorded.problem == await home.catalog.problems.get("a.png")
    assert recorded.problem is not None
    assert recorded.problem.code == code
    assert await home.catalog.images.get("a.png") is None
    inspected = len(home.inspected)
    assert (await home.door.record("a.png", version=home.walked()[0].version)).problem == recorded.problem
    assert (await home.door.record_many(home.walked()))[0].problem == recorded.problem
    assert len(home.inspected) == inspected
    assert home.figure("watch", "problem") == 1


async def test_a_problem_stays_until_its_file_changes(tmp_path: Path, address: str) -> None:
    async with house(tmp_path, address, limits=Limits(original_pixels=100)) as home:
        home.put("a.png", picture())
        assert (await home.door.record("a.png")).problem is not None
    async with house(tmp_path, address) as home:
        assert await home.scan() == {"a.png": "problem"}
        home.put("a.png", picture(1))
        assert await home.scan() == {"a.png": "created"}
        assert await home.catalog.problems.get("a.png") is None


async def test_an_image_that_becomes_a_problem_is_no_record_any_more_and_back_when_it_is_good(home: House) -> None:
    path = home.put("a.png", picture())
    await home.door.record("a.png")
    key = await home.render("a.png")
    await later()
    path.write_bytes(b"nothing")
    assert (await home.door.record("a.png")).outcome is Recording.PROBLEM
    assert await home.catalog.images.get("a.png") is None
    assert await home.cache.get(key) is None
    assert home.ear.purged[-1] == ({"a.png"}, [])
    await later()
    path.write_bytes(picture(3))
    assert (await home.door.record("a.png")).outcome is Recording.CREATED
    assert await home.catalog.problems.get("a.png") is None


async def test_a_young_file_that_is_cut_may_still_be_written(tmp_path: Path, address: str) -> None:
    async with house(tmp_path, address, settle=30.0) as home:
        home.put("a.png", picture()[:-30])
        with pytest.raises(OriginalUnsettled):
            await home.door.record("a.png")
        (later_on,) = await home.door.record_many(home.walked())
        assert later_on.outcome is Recording.LATER
        assert isinstance(later_on.error, OriginalUnsettled)
        assert await home.catalog.problems.count() == 0


async def test_a_renamed_file_takes_its_record_along(home: House) -> None:
    path = home.put("old/a.png", picture())
    await home.door.record("old/a.png")
    before = await home.door.change("old/a.png", {"title": "Mine", "focal_point": FocalPoint(1, 0)})
    key = await home.render("old/a.png")
    (home.root / "new").mkdir()
    path.rename(home.root / "new" / "b.png")
    recorded = await home.door.record("new/b.png")
    assert recorded.outcome is Recording.RENAMED
    assert recorded.record is not None
    assert (recorded.record.title, recorded.record.focal_point) == ("Mine", FocalPoint(1, 0))
    assert (recorded.record.created, recorded.record.version) == (before.created, before.version)
    assert set(await home.catalog.images.versions()) == {"new/b.png"}
    assert await home.cache.get(key) is None
    assert {"old/a.png", "new/b.png"} <= {image_id for _, image_id in await kinds_of_notices(home.catalog)}
    assert not await home.door.vanished("old/a.png")


async def test_a_copy_is_an_image_of_its_own(home: House) -> None:
    home.put("a.png", picture())
    await home.door.record("a.png")
    home.put("b.png", picture())
    assert (await home.door.record("b.png")).outcome is Recording.CREATED
    assert set(await home.catalog.images.versions()) == {"a.png", "b.png"}


async def test_a_folder_renamed_between_scans_keeps_all_records(home: House) -> None:
    for number in range(5):
        home.put(f"old/{number}.png", picture(number))
    await home.scan()
    await home.door.tag_many([f"old/{number}.png" for number in range(5)], ["x"], [])
    (home.root / "old").rename(home.root / "new")
    assert set((await home.scan()).values()) == {"renamed"}
    assert (await home.catalog.search.tag_counts()) == {"x": 5}
    assert set(await home.catalog.images.versions()) == {f"new/{number}.png" for number in range(5)}


async def test_a_file_that_is_gone_is_forgotten_with_all_that_was_made_of_it(home: House) -> None:
    path = home.put("a.png", picture())
    await home.door.record("a.png")
    key = await home.render("a.png")
    assert not await home.door.vanished("a.png"), "it is there"
    path.unlink()
    assert await home.door.vanished("a.png")
    assert not await home.door.vanished("a.png")
    assert await home.catalog.images.get("a.png") is None
    assert await home.cache.get(key) is None
    assert home.ear.purged[-1] == ({"a.png"}, [])
    assert (await home.door.record("a.png")).outcome is Recording.GONE


async def test_nothing_is_forgotten_while_the_folder_cannot_be_read(home: House) -> None:
    home.put("a.png", picture())
    await home.door.record("a.png")
    home.root.rename(home.root.with_name("aside"))
    with pytest.raises(Unavailable):
        await home.door.vanished("a.png")
    with pytest.raises(Unavailable):
        await home.door.record("a.png")
    home.root.with_name("aside").rename(home.root)
    assert (await home.door.record("a.png")).outcome is Recording.UNCHANGED


async def test_a_listener_that_fails_changes_nothing(home: House, caplog: pytest.LogCaptureFixture) -> None:
    home.ear.broken = True
    path = home.put("a.png", picture())
    await home.door.record("a.png")
    path.unlink()
    assert await home.door.vanished("a.png")
    assert "a listener failed" in caplog.text


async def test_names_that_are_not_utf_8_are_recorded_as_any_other(home: House) -> None:
    name = os.fsdecode(b"\xff\xfe.png")
    home.put(name, picture())
    recorded = await home.door.record(name)
    assert recorded.record is not None
    assert set(await home.known()) == {name}
