"""What was made of images is taken away: by ids, by a query, of a preset, or all."""

import pytest

from imgserve.catalog import ImageQuery
from imgserve.errors import CatalogUnavailable
from imgserve.model import FocalPoint
from imgserve.records import Purged
from tests.library_rig import Rig, kinds_of_notices, picture

pytestmark = pytest.mark.anyio


async def filled(rig: Rig, number: int = 3) -> None:
    for at in range(number):
        rig.put(f"a/{at}.png", picture(at))
    rig.put("b.png", picture(99))
    await rig.scan()
    for image_id in await rig.catalog.images.versions():
        for canonical in ("thumb", "w=9"):
            await rig.render(image_id, canonical)


async def entries(rig: Rig) -> int:
    return (await rig.cache.stats())["disk"].entries


async def test_images_are_purged_by_a_query_and_by_ids(rig: Rig) -> None:
    await filled(rig)
    assert await rig.ingest.purge(ImageQuery(prefix="a/")) == Purged(3, 6)
    assert await entries(rig) == 2
    assert rig.ear.purged == [({"a/0.png", "a/1.png", "a/2.png"}, [])]
    assert ("purged", "a/0.png") in await kinds_of_notices(rig.catalog)
    assert await rig.ingest.purge(["b.png", "absent", "b.png"]) == Purged(2, 2)
    assert len(await rig.catalog.images.versions()) == 4


async def test_a_selection_larger_than_a_piece_is_purged_whole(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgserve.images.batches.BATCH", 2)
    await filled(rig, 5)
    assert await rig.ingest.purge(ImageQuery()) == Purged(6, 12)
    assert await rig.ingest.purge([f"a/{at}.png" for at in range(5)]) == Purged(5, 0)


@pytest.mark.parametrize("everything", [True, False])
async def test_a_purge_of_which_others_cannot_be_notified_fails_after_it_is_done_here(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, everything: bool
) -> None:
    await filled(rig)

    async def fail(*_: object, **__: object) -> None:
        raise CatalogUnavailable(retry_after=1)

    monkeypatch.setattr(rig.catalog.notices, "publish", fail)
    with pytest.raises(CatalogUnavailable, match="done here"):
        await (rig.ingest.purge_all() if everything else rig.ingest.purge(["b.png"]))
    assert await entries(rig) == (0 if everything else 6)
    assert rig.ear.purged == [(None if everything else {"b.png"}, [])]


async def test_everything_is_purged(rig: Rig) -> None:
    await filled(rig)
    assert await rig.ingest.purge_all() == Purged(4, 8)
    assert await entries(rig) == 0
    assert rig.ear.purged == [(None, [])]
    assert (await kinds_of_notices(rig.catalog))[-1] == ("everything", "")


async def test_what_a_preset_made_is_purged_alone_whatever_the_focal_point(rig: Rig) -> None:
    await filled(rig)
    await rig.ingest.change("b.png", {"focal_point": FocalPoint(0, 0)})
    await rig.render("b.png", "thumb")
    (rig.root / "a" / "0.png").unlink()
    assert await rig.ingest.purge_preset("thumb") == Purged(3, 3)
    left = [key for key in ("a/1.png", "a/2.png") if await rig.cache.get(await rig.render(key, "w=9"))]
    assert len(left) == 2
    assert rig.ear.purged[-1] == (set(), ["p-thumb"])
