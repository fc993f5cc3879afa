"""Files that lie in place: recorded once, again when they change, as problems, and followed when they are renamed."""

import os
from pathlib import Path

import pytest

from imgserve.errors import OriginalUnsettled, Unavailable
from imgserve.library.inspect import Recording
from imgserve.model import FocalPoint, Limits, Origin
from imgserve.rendering.pool import ProcessPool
from tests.library_rig import Rig, kinds_of_notices, later, open_rig, picture

pytestmark = pytest.mark.anyio


async def test_a_new_file_is_recorded_with_its_facts(rig: Rig) -> None:
    rig.put("a b/ü.png", picture())
    recorded = await rig.ingest.record("a b/ü.png")
    assert recorded.outcome is Recording.CREATED
    assert recorded.record == await rig.catalog.images.get("a b/ü.png")
    assert recorded.record is not None
    assert (recorded.record.width, recorded.record.format, recorded.record.origin) == (40, "png", Origin.WATCH)
    assert recorded.record.version == rig.originals.stat("a b/ü.png").version
    assert [one.image_id for one in rig.ear.recorded] == ["a b/ü.png"]
    assert await kinds_of_notices(rig.catalog) == [("changed", "a b/ü.png")]
    assert rig.figure("watch", "created") == 1


async def test_what_is_known_is_not_inspected_again(rig: Rig) -> None:
    rig.put("a.png", picture())
    await rig.ingest.record("a.png")
    key = await rig.render("a.png")
    assert (await rig.ingest.record("a.png")).outcome is Recording.UNCHANGED
    assert len(rig.inspected) == 1
    assert await rig.cache.get(key)
    assert rig.ear.purged == []


async def test_a_replaced_file_is_recorded_anew_and_keeps_what_people_wrote(rig: Rig) -> None:
    path = rig.put("a.png", picture(1))
    first = (await rig.ingest.record("a.png")).record
    assert first is not None
    await rig.ingest.change("a.png", {"title": "Mine", "tags": ("x",), "focal_point": FocalPoint(0, 1)})
    key = await rig.render("a.png")
    await later()
    path.write_bytes(picture(2))
    recorded = await rig.ingest.record("a.png")
    assert recorded.outcome is Recording.REPLACED
    assert recorded.record is not None
    assert recorded.record.sha256 != first.sha256
    assert (recorded.record.title, recorded.record.tags, recorded.record.created) == ("Mine", ("x",), first.created)
    assert recorded.record.version == rig.originals.stat("a.png").focused(FocalPoint(0, 1)).version
    assert await rig.cache.get(key) is None
    assert rig.ear.purged[-1] == ({"a.png"}, [])
    assert "a.png" in rig.forgotten


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"no image", "unsupported_image"), (picture()[:-30], "unreadable_image")],
    ids=["text", "cut"],
)
async def test_what_is_no_usable_image_is_a_problem_and_no_record(rig: Rig, data: bytes, code: str) -> None:
    rig.put("a.png", data)
    recorded = await rig.ingest.record("a.png", version=rig.walked()[0].version)
    assert recorded.outcome is Recording.PROBLEM
    assert recorded.problem == await rig.catalog.problems.get("a.png")
    assert recorded.problem is not None
    assert recorded.problem.code == code
    assert await rig.catalog.images.get("a.png") is None
    inspected = len(rig.inspected)
    assert (await rig.ingest.record("a.png", version=rig.walked()[0].version)).problem == recorded.problem
    assert (await rig.ingest.record_many(rig.walked()))[0].problem == recorded.problem
    assert len(rig.inspected) == inspected
    assert rig.figure("watch", "problem") == 1


async def test_a_problem_stays_until_its_file_changes(tmp_path: Path, address: str, pool: ProcessPool) -> None:
    async with open_rig(tmp_path, address, pool=pool, limits=Limits(original_pixels=100)) as rig:
        rig.put("a.png", picture())
        assert (await rig.ingest.record("a.png")).problem is not None
    async with open_rig(tmp_path, address, pool=pool) as rig:
        assert await rig.scan() == {"a.png": "problem"}
        rig.put("a.png", picture(1))
        assert await rig.scan() == {"a.png": "created"}
        assert await rig.catalog.problems.get("a.png") is None


async def test_an_image_that_becomes_a_problem_is_no_record_any_more_and_back_when_it_is_good(rig: Rig) -> None:
    path = rig.put("a.png", picture())
    await rig.ingest.record("a.png")
    key = await rig.render("a.png")
    await later()
    path.write_bytes(b"nothing")
    assert (await rig.ingest.record("a.png")).outcome is Recording.PROBLEM
    assert await rig.catalog.images.get("a.png") is None
    assert await rig.cache.get(key) is None
    assert rig.ear.purged[-1] == ({"a.png"}, [])
    await later()
    path.write_bytes(picture(3))
    assert (await rig.ingest.record("a.png")).outcome is Recording.CREATED
    assert await rig.catalog.problems.get("a.png") is None


async def test_a_young_file_that_is_cut_may_still_be_written(tmp_path: Path, address: str, pool: ProcessPool) -> None:
    async with open_rig(tmp_path, address, pool=pool, settle=30.0) as rig:
        rig.put("a.png", picture()[:-30])
        with pytest.raises(OriginalUnsettled):
            await rig.ingest.record("a.png")
        (later_on,) = await rig.ingest.record_many(rig.walked())
        assert later_on.outcome is Recording.LATER
        assert isinstance(later_on.error, OriginalUnsettled)
        assert await rig.catalog.problems.count() == 0


async def test_a_renamed_file_takes_its_record_along(rig: Rig) -> None:
    path = rig.put("old/a.png", picture())
    await rig.ingest.record("old/a.png")
    before = await rig.ingest.change("old/a.png", {"title": "Mine", "focal_point": FocalPoint(1, 0)})
    key = await rig.render("old/a.png")
    (rig.root / "new").mkdir()
    path.rename(rig.root / "new" / "b.png")
    recorded = await rig.ingest.record("new/b.png")
    assert recorded.outcome is Recording.RENAMED
    assert recorded.record is not None
    assert (recorded.record.title, recorded.record.focal_point) == ("Mine", FocalPoint(1, 0))
    assert (recorded.record.created, recorded.record.version) == (before.created, before.version)
    assert set(await rig.catalog.images.versions()) == {"new/b.png"}
    assert await rig.cache.get(key) is None
    assert {"old/a.png", "new/b.png"} <= {image_id for _, image_id in await kinds_of_notices(rig.catalog)}
    assert not await rig.ingest.vanished("old/a.png")


async def test_a_copy_is_an_image_of_its_own(rig: Rig) -> None:
    rig.put("a.png", picture())
    await rig.ingest.record("a.png")
    rig.put("b.png", picture())
    assert (await rig.ingest.record("b.png")).outcome is Recording.CREATED
    assert set(await rig.catalog.images.versions()) == {"a.png", "b.png"}


async def test_a_folder_renamed_between_scans_keeps_all_records(rig: Rig) -> None:
    for number in range(5):
        rig.put(f"old/{number}.png", picture(number))
    await rig.scan()
    await rig.ingest.tag_many([f"old/{number}.png" for number in range(5)], ["x"], [])
    (rig.root / "old").rename(rig.root / "new")
    assert set((await rig.scan()).values()) == {"renamed"}
    assert (await rig.catalog.search.tag_counts()) == {"x": 5}
    assert set(await rig.catalog.images.versions()) == {f"new/{number}.png" for number in range(5)}


async def test_a_file_that_is_gone_is_forgotten_with_all_that_was_made_of_it(rig: Rig) -> None:
    path = rig.put("a.png", picture())
    await rig.ingest.record("a.png")
    key = await rig.render("a.png")
    assert not await rig.ingest.vanished("a.png"), "it is there"
    path.unlink()
    assert await rig.ingest.vanished("a.png")
    assert not await rig.ingest.vanished("a.png")
    assert await rig.catalog.images.get("a.png") is None
    assert await rig.cache.get(key) is None
    assert rig.ear.purged[-1] == ({"a.png"}, [])
    assert (await rig.ingest.record("a.png")).outcome is Recording.GONE


async def test_nothing_is_forgotten_while_the_folder_cannot_be_read(rig: Rig) -> None:
    rig.put("a.png", picture())
    await rig.ingest.record("a.png")
    rig.root.rename(rig.root.with_name("aside"))
    with pytest.raises(Unavailable):
        await rig.ingest.vanished("a.png")
    with pytest.raises(Unavailable):
        await rig.ingest.record("a.png")
    rig.root.with_name("aside").rename(rig.root)
    assert (await rig.ingest.record("a.png")).outcome is Recording.UNCHANGED


async def test_names_that_are_not_utf_8_are_recorded_as_any_other(rig: Rig) -> None:
    name = os.fsdecode(b"\xff\xfe.png")
    rig.put(name, picture())
    recorded = await rig.ingest.record(name)
    assert recorded.record is not None
    assert set(await rig.known()) == {name}
