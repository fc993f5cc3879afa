"""Originals moved to other ids: file, record and redirects follow; conflicts, races and interruptions lose nothing."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from imgserve.errors import BadImageId, CatalogUnavailable, ImageExists, ImageNotFound, ReadOnlyOriginals
from imgserve.model import FocalPoint
from imgserve.rendering.pool import ProcessPool
from tests.library_rig import Rig, kinds_of_notices, later, open_rig, picture

pytestmark = pytest.mark.anyio

POINT = FocalPoint(0, 1)
SAID = {
    "title": "Title",
    "alt": "Alt",
    "description": "Text",
    "tags": ("x", "ü"),
    "metadata": {"a": [1, None]},
    "focal_point": POINT,
}
DAY = 86_400.0


async def redirects(rig: Rig, *ids: str) -> dict[str, str]:
    return dict(await rig.catalog.redirects.targets(ids))


@pytest.fixture
async def mover(tmp_path: Path, address: str, pool: ProcessPool) -> Any:
    async with open_rig(tmp_path, address, pool=pool, redirect_seconds=DAY) as made:
        yield made


async def test_everything_follows_a_moved_image(mover: Rig, caplog: pytest.LogCaptureFixture) -> None:
    before = (await mover.upload(picture(), "a/b.png", details=SAID, who="key")).record
    key = await mover.render("a/b.png")
    mover.prepare("a/b.png")
    with caplog.at_level(logging.INFO, "imgserve.library"):
        moved = await mover.ingest.move("a/b.png", "c/d/e.png")
    assert "'a/b.png' was moved to 'c/d/e.png'" in caplog.text
    names = ("version", "title", "alt", "description", "tags", "metadata", "focal_point", "created", "who", "origin")
    assert {name: getattr(moved, name) for name in names} == {name: getattr(before, name) for name in names}
    assert await mover.catalog.images.get("c/d/e.png") == moved
    assert list(await mover.known()) == ["c/d/e.png"]
    assert not (mover.root / "a").exists()
    assert (mover.root / "c/d/e.png").read_bytes() == picture()
    assert await mover.cache.get(key) is None
    assert await redirects(mover, "a/b.png") == {"a/b.png": "c/d/e.png"}
    assert mover.ear.purged[-1] == ({"a/b.png"}, [])
    assert (mover.ear.recorded[-1].image_id, mover.ear.recorded[-1].version) == ("c/d/e.png", before.version)
    assert {("changed", "c/d/e.png"), ("purged", "a/b.png")} <= set(await kinds_of_notices(mover.catalog))
    assert await mover.scan() == {"c/d/e.png": "unchanged"}
    assert len(mover.inspected) == 1


async def test_redirects_collapse_and_end_where_an_image_is_again(mover: Rig) -> None:
    await mover.upload(picture(), "a.png")
    for old, new in (("a.png", "b.png"), ("b.png", "c.png")):
        await mover.ingest.move(old, new)
    assert await redirects(mover, "a.png", "b.png", "c.png") == {"a.png": "c.png", "b.png": "c.png"}
    await mover.upload(picture(1), "a.png")
    assert await redirects(mover, "a.png", "b.png") == {"b.png": "c.png"}
    await mover.ingest.move("c.png", "b.png")
    assert await redirects(mover, "a.png", "b.png", "c.png") == {"c.png": "b.png"}


async def test_without_redirects_none_is_stored(rig: Rig) -> None:
    await rig.upload(picture(), "a.png")
    await rig.ingest.move("a.png", "b.png")
    assert await rig.catalog.redirects.prune(rig.ingest._rules.clock() + timedelta(days=9999)) == 0


REFUSED: list[tuple[str, str, type[Exception]]] = [
    ("absent.png", "b.png", ImageNotFound),
    ("a.png", "../b.png", BadImageId),
    ("a.png", ".b.png", BadImageId),
    ("a.png", "b.jpg", BadImageId),
    ("a.png", "b", BadImageId),
    ("a.png", "taken.png", ImageExists),
    ("a.png", "taken.png/b.png", ImageExists),
    ("a.png", "mounted.png", ImageExists),
    ("a.png", "mounted.png/b.png", ReadOnlyOriginals),
    ("mounted.png/m.png", "b.png", ReadOnlyOriginals),
]


async def test_what_cannot_be_moved_stays_as_it_is(tmp_path: Path, address: str, pool: ProcessPool) -> None:
    (tmp_path / "mounted.png").mkdir()
    (tmp_path / "mounted.png/m.png").write_bytes(picture(2))
    async with open_rig(tmp_path, address, pool=pool, mounts=["mounted.png"], redirect_seconds=DAY) as rig:
        await rig.upload(picture(), "a.png")
        await rig.upload(picture(1), "taken.png")
        await rig.scan()
        before, files = await rig.known(), rig.walked()
        for old, new, error in REFUSED:
            with pytest.raises(error):
                await rig.ingest.move(old, new)
            assert (await rig.known(), rig.walked()) == (before, files), (old, new)
            assert await redirects(rig, old) == {}


@pytest.mark.parametrize("new", ["a.png", "A.PNG", "b.PNG", "ä.png"])
async def test_an_image_can_have_any_id_with_an_extension_of_its_format(mover: Rig, new: str) -> None:
    await mover.upload(picture(), "a.png")
    assert (await mover.ingest.move("a.png", new)).image_id == new
    assert list(await mover.known()) == [new]


async def test_a_wrong_extension_may_stay_or_become_right(mover: Rig) -> None:
    await mover.upload(picture(), "a.jpg")
    await mover.ingest.move("a.jpg", "b.jpg")
    await mover.ingest.move("b.jpg", "c.png")
    assert list(await mover.known()) == ["c.png"]


async def test_a_link_stays_in_its_folder(mover: Rig) -> None:
    mover.put("pool/x.png", picture())
    (mover.root / "link.png").symlink_to("pool/x.png")
    await mover.scan()
    with pytest.raises(ReadOnlyOriginals, match="link"):
        await mover.ingest.move("link.png", "other/link.png")
    await mover.ingest.move("link.png", "new.png")
    assert (mover.root / "new.png").is_symlink()


async def test_a_record_without_a_file_gives_way(mover: Rig) -> None:
    for number, name in enumerate(("a.png", "b.png")):
        await mover.upload(picture(number), name)
    (mover.root / "b.png").unlink()
    assert (await mover.ingest.move("a.png", "b.png")).sha256 != ""
    assert list(await mover.known()) == ["b.png"]
    assert await mover.scan() == {"b.png": "unchanged"}


async def test_a_file_that_was_replaced_a_moment_ago_is_recorded_as_it_is(mover: Rig) -> None:
    await mover.upload(picture(), "a.png", details=SAID)
    await later()
    mover.put("a.png", picture(1))
    moved = await mover.ingest.move("a.png", "b.png")
    assert (moved.title, moved.version) == ("Title", mover.originals.stat("b.png").focused(POINT).version)
    assert await mover.scan() == {"b.png": "unchanged"}


@pytest.mark.parametrize("repeated", [False, True])
async def test_a_file_that_was_moved_without_the_record_is_followed(mover: Rig, *, repeated: bool) -> None:
    before = (await mover.upload(picture(), "a.png", details=SAID)).record
    await mover.catalog.redirects.add("a.png", "b/c.png", mover.ingest._rules.clock() + timedelta(days=1))
    mover.originals.move("a.png", "b/c.png")  # and then the process died
    if repeated:
        await mover.ingest.move("a.png", "b/c.png")
    else:
        assert await mover.scan() == {"b/c.png": "renamed"}
    after = await mover.catalog.images.get("b/c.png")
    assert after is not None
    assert (after.title, after.tags, after.created) == (before.title, before.tags, before.created)
    assert await redirects(mover, "a.png") == {"a.png": "b/c.png"}
    with pytest.raises(ImageNotFound):
        await mover.ingest.move("a.png", "b/c.png")


async def test_another_process_may_record_the_new_file_first(mover: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await mover.upload(picture(), "a.png", details=SAID)
    change = mover.catalog.images.change

    async def overtaken(old: str, fields: dict[str, Any], **options: Any) -> Any:
        monkeypatch.setattr(mover.catalog.images, "change", change)
        await change(old, fields, **options)  # what the watcher of the other process does
        return await change(old, fields, **options)

    monkeypatch.setattr(mover.catalog.images, "change", overtaken)
    assert (await mover.ingest.move("a.png", "b.png")).title == "Title"
    assert list(await mover.known()) == ["b.png"]


async def test_without_the_catalog_after_the_file_was_moved_the_call_can_be_repeated(
    mover: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mover.upload(picture(), "a.png", details=SAID)
    change = mover.catalog.images.change

    async def failing(*_arguments: Any, **_options: Any) -> Any:
        monkeypatch.setattr(mover.catalog.images, "change", change)
        raise CatalogUnavailable(retry_after=1)

    monkeypatch.setattr(mover.catalog.images, "change", failing)
    with pytest.raises(CatalogUnavailable, match="picture is moved"):
        await mover.ingest.move("a.png", "b.png")
    assert (await mover.ingest.move("a.png", "b.png")).title == "Title"


async def test_the_record_of_a_file_that_another_process_moves_is_not_removed(mover: Rig) -> None:
    before = (await mover.upload(picture(), "a.png", details=SAID)).record
    await mover.catalog.redirects.add("a.png", "b.png", mover.ingest._rules.clock() + timedelta(days=1))
    mover.originals.move("a.png", "b.png")
    assert not await mover.ingest.vanished("a.png")
    assert await mover.catalog.images.get("a.png") == before
    assert await mover.scan() == {"b.png": "renamed"}
    (mover.root / "b.png").unlink()
    assert await mover.ingest.vanished("b.png")


async def test_a_restored_image_ends_the_redirect_of_its_id(tmp_path: Path, address: str, pool: ProcessPool) -> None:
    async with open_rig(tmp_path, address, pool=pool, redirect_seconds=DAY, trash_seconds=DAY) as rig:
        await rig.upload(picture(), "a.png")
        deleted = await rig.ingest.delete("a.png")
        await rig.upload(picture(1), "b.png")
        await rig.ingest.move("b.png", "a.png")
        await rig.ingest.move("a.png", "c.png")
        assert await redirects(rig, "a.png", "b.png") == {"a.png": "c.png", "b.png": "c.png"}
        await rig.ingest.restore(deleted.trash_item or "")
        assert await redirects(rig, "a.png", "b.png") == {"b.png": "c.png"}
