"""What people say of images: changed, also of many; crops follow a focal point."""

from pathlib import Path

import pytest

from imgserve.cache import RenditionKey
from imgserve.errors import ImageNotFound
from imgserve.model import FocalPoint
from tests.ingests import House, kinds_of_notices, picture

pytestmark = pytest.mark.anyio


async def mezzanine(home: House, image_id: str) -> RenditionKey:
    """Keep a mezzanine of an image."""
    key = RenditionKey(image_id, home.originals.stat(image_id).file_version, "mezzanine", "r", "pixels")
    place = home.cache.mezzanine_place()
    assert place is not None
    place.write_bytes(b"m" * 100)
    assert await home.cache.keep_mezzanine(key, place)
    return key


async def test_fields_that_are_given_change_and_all_others_stay(home: House) -> None:
    first = (await home.upload(picture(), "a.png")).record
    key = await home.render("a.png")
    changed = await home.door.change("a.png", {"title": "T", "metadata": {"a": [1]}})
    assert changed == await home.catalog.images.get("a.png")
    assert (changed.title, changed.metadata, changed.version) == ("T", {"a": [1]}, first.version)
    assert changed.changed > first.changed
    assert await home.cache.get(key), "a title is not in the picture"
    assert home.ear.purged == []


async def test_a_new_focal_point_is_a_new_version_and_the_mezzanine_stays(home: House) -> None:
    first = (await home.upload(picture(), "a.png")).record
    key, kept = await home.render("a.png"), await mezzanine(home, "a.png")
    changed = await home.door.change("a.png", {"focal_point": FocalPoint(0.25, 0.75)})
    assert changed.version == home.originals.stat("a.png").focused(FocalPoint(0.25, 0.75)).version != first.version
    assert await home.catalog.images.focal_point("a.png") == FocalPoint(0.25, 0.75)
    assert await home.cache.get(key) is None
    assert await home.cache.mezzanine(kept) is not None
    assert home.ear.purged == [({"a.png"}, [])]
    assert home.ear.recorded[-1].focal_point == FocalPoint(0.25, 0.75)
    assert (await kinds_of_notices(home.catalog))[-1] == ("changed", "a.png")
    assert home.forgotten[-1] == "a.png"
    assert (await home.door.change("a.png", {"focal_point": None})).version == first.version
    assert await home.scan() == {"a.png": "unchanged"}


async def test_a_focal_point_said_again_is_purged_again(home: House) -> None:
    await home.upload(picture(), "a.png")
    await home.door.change("a.png", {"focal_point": FocalPoint(0, 0)})
    key = await home.render("a.png")
    await home.door.change("a.png", {"focal_point": FocalPoint(0, 0)})
    assert await home.cache.get(key) is None


async def test_what_is_not_there_or_not_said_cannot_be_changed(home: House) -> None:
    await home.upload(picture(), "a.png")
    with pytest.raises(ImageNotFound):
        await home.door.change("b.png", {"title": "T"})
    for field in ("sha256", "image_id", "version", "created"):
        with pytest.raises(ValueError, match="read from the bytes"):
            await home.door.change("a.png", {field: "x"})


async def test_many_are_tagged_at_once(home: House) -> None:
    for number in range(3):
        await home.upload(picture(number), f"{number}.png")
    assert await home.door.tag_many(["0.png", "1.png", "absent"], ["x", "y"], []) == 2
    assert await home.door.tag_many(["0.png", "2.png"], ["y"], ["x"]) == 2
    assert await home.catalog.search.tag_counts() == {"y": 3, "x": 1}


async def test_a_changed_image_that_is_gone_by_now_is_changed_all_the_same(home: House, tmp_path: Path) -> None:
    await home.upload(picture(), "a.png")
    (tmp_path / "originals" / "a.png").unlink()
    assert (await home.door.change("a.png", {"focal_point": FocalPoint(0, 0)})).focal_point == FocalPoint(0, 0)
