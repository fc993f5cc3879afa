"""What people say of images: changed, also of many; crops follow a focal point."""

from pathlib import Path

import pytest

from imgserve.cache import RenditionKey
from imgserve.errors import ImageNotFound
from imgserve.model import FocalPoint
from tests.library_rig import Rig, kinds_of_notices, picture

pytestmark = pytest.mark.anyio


async def mezzanine(rig: Rig, image_id: str) -> RenditionKey:
    """Store a mezzanine of an image."""
    key = RenditionKey(image_id, rig.originals.stat(image_id).file_version, "mezzanine", "r", "pixels")
    place = rig.cache.mezzanine_place()
    assert place is not None
    place.write_bytes(b"m" * 100)
    assert await rig.cache.keep_mezzanine(key, place)
    return key


async def test_fields_that_are_given_change_and_all_others_stay(rig: Rig) -> None:
    first = (await rig.upload(picture(), "a.png")).record
    key = await rig.render("a.png")
    changed = await rig.ingest.change("a.png", {"title": "T", "metadata": {"a": [1]}})
    assert changed == await rig.catalog.images.get("a.png")
    assert (changed.title, changed.metadata, changed.version) == ("T", {"a": [1]}, first.version)
    assert changed.changed > first.changed
    assert await rig.cache.get(key), "a title is not in the picture"
    assert rig.ear.purged == []


async def test_a_new_focal_point_is_a_new_version_and_the_mezzanine_stays(rig: Rig) -> None:
    first = (await rig.upload(picture(), "a.png")).record
    key, kept = await rig.render("a.png"), await mezzanine(rig, "a.png")
    changed = await rig.ingest.change("a.png", {"focal_point": FocalPoint(0.25, 0.75)})
    assert changed.version == rig.originals.stat("a.png").focused(FocalPoint(0.25, 0.75)).version != first.version
    assert (await rig.catalog.images.focus("a.png")).point == FocalPoint(0.25, 0.75)
    assert await rig.cache.get(key) is None
    assert await rig.cache.mezzanine(kept) is not None
    assert rig.ear.purged == [({"a.png"}, [])]
    assert rig.ear.recorded[-1].focal_point == FocalPoint(0.25, 0.75)
    assert (await kinds_of_notices(rig.catalog))[-1] == ("purged", "a.png")
    assert rig.forgotten[-1] == "a.png"
    assert (await rig.ingest.change("a.png", {"focal_point": None})).version == first.version
    assert await rig.scan() == {"a.png": "unchanged"}


async def test_a_focal_point_said_again_is_purged_again(rig: Rig) -> None:
    await rig.upload(picture(), "a.png")
    await rig.ingest.change("a.png", {"focal_point": FocalPoint(0, 0)})
    key = await rig.render("a.png")
    await rig.ingest.change("a.png", {"focal_point": FocalPoint(0, 0)})
    assert await rig.cache.get(key) is None


async def test_what_is_not_there_or_not_said_cannot_be_changed(rig: Rig) -> None:
    await rig.upload(picture(), "a.png")
    with pytest.raises(ImageNotFound):
        await rig.ingest.change("b.png", {"title": "T"})
    for field in ("sha256", "image_id", "version", "created"):
        with pytest.raises(ValueError, match="read from the bytes"):
            await rig.ingest.change("a.png", {field: "x"})


async def test_many_are_tagged_at_once(rig: Rig) -> None:
    for number in range(3):
        await rig.upload(picture(number), f"{number}.png")
    assert await rig.ingest.tag_many(["0.png", "1.png", "absent"], ["x", "y"], []) == 2
    assert await rig.ingest.tag_many(["0.png", "2.png"], ["y"], ["x"]) == 2
    assert await rig.catalog.search.tag_counts() == {"y": 3, "x": 1}


async def test_a_changed_image_that_is_gone_by_now_is_changed_all_the_same(rig: Rig, tmp_path: Path) -> None:
    await rig.upload(picture(), "a.png")
    (tmp_path / "originals" / "a.png").unlink()
    assert (await rig.ingest.change("a.png", {"focal_point": FocalPoint(0, 0)})).focal_point == FocalPoint(0, 0)
