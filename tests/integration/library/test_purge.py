"""What was made of images is taken away: by ids, by a query, of a preset, or all."""

import pytest

from imgserve.catalog import ImageQuery
from imgserve.library.results import Purged
from imgserve.model import FocalPoint
from tests.ingests import House, kinds_of_notices, picture

pytestmark = pytest.mark.anyio


async def filled(home: House, number: int = 3) -> None:
    for at in range(number):
        home.put(f"a/{at}.png", picture(at))
    home.put("b.png", picture(99))
    await home.scan()
    for image_id in await home.catalog.images.versions():
        for canonical in ("thumb", "w=9"):
            await home.render(image_id, canonical)


async def entries(home: House) -> int:
    return (await home.cache.stats())["disk"].entries


async def test_images_are_purged_by_a_query_and_by_ids(home: House) -> None:
    await filled(home)
    assert await home.door.purge(ImageQuery(prefix="a/")) == Purged(3, 6)
    assert await entries(home) == 2
    assert home.ear.purged == [({"a/0.png", "a/1.png", "a/2.png"}, [])]
    assert ("purged", "a/0.png") in await kinds_of_notices(home.catalog)
    assert await home.door.purge(["b.png", "absent", "b.png"]) == Purged(2, 2)
    assert len(await home.catalog.images.versions()) == 4


async def test_a_selection_larger_than_a_piece_is_purged_whole(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgserve.images.batches.BATCH", 2)
    await filled(home, 5)
    assert await home.door.purge(ImageQuery()) == Purged(6, 12)
    assert await home.door.purge([f"a/{at}.png" for at in range(5)]) == Purged(5, 0)


async def test_everything_is_purged(home: House) -> None:
    await filled(home)
    assert await home.door.purge_all() == Purged(4, 8)
    assert await entries(home) == 0
    assert home.ear.purged == [(None, [])]
    assert (await kinds_of_notices(home.catalog))[-1] == ("everything", "")


async def test_what_a_preset_made_is_purged_alone_whatever_the_focal_point(home: House) -> None:
    await filled(home)
    await home.door.change("b.png", {"focal_point": FocalPoint(0, 0)})
    await home.render("b.png", "thumb")
    (home.root / "a" / "0.png").unlink()
    assert await home.door.purge_preset("thumb") == Purged(3, 3)
    left = [key for key in ("a/1.png", "a/2.png") if await home.cache.get(await home.render(key, "w=9"))]
    assert len(left) == 2
    assert home.ear.purged[-1] == (set(), ["preset:thumb"])
