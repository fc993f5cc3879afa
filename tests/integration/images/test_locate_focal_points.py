"""Focal points on the way to an original: asked for once, followed at once, and done without where nobody tells."""

import asyncio
from pathlib import Path

import pytest

from imgserve.errors import CatalogUnavailable
from imgserve.images import locate
from imgserve.images.locate import Locator
from imgserve.model import Face, FocalPoint, Focus, Original
from imgserve.originals.writable import WritableOriginals
from tests.pictures import encoded, quarters
from tests.servers import settled

PICTURE = encoded(quarters(40, 30), "png")
LEFT, RIGHT = FocalPoint(0.1, 0.5), FocalPoint(0.9, 0.5)


class Catalog:
    """Tells focal points as a catalog would, or is in trouble."""

    def __init__(self) -> None:
        self.point: FocalPoint | None = LEFT
        self.faces: tuple[Face, ...] = ()
        self.version = ""
        self.trouble: Exception | None = None
        self.hangs = False
        self.asked = 0

    async def focus(self, _image_id: str) -> Focus:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.trouble:
            raise self.trouble
        return Focus(self.point, self.faces, self.version)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return settled(tmp_path / "shoe.png", PICTURE)


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.setattr(locate, "_FOCUS_TIMEOUT", 0.01)
    monkeypatch.setattr(locate, "_FOCUS_PAUSE", 0.0)
    return Catalog()


def locator(place: Path, catalog: Catalog, recheck: float = 0.0) -> Locator:
    return Locator(WritableOriginals(place.parent), recheck=recheck, presets=(), focus=catalog.focus)


async def seen(locator: Locator) -> Original:
    return (await locator.find("shoe.png")).original


def test_an_original_carries_its_focal_point_and_is_not_looked_up_again(place: Path, catalog: Catalog) -> None:
    async def looks() -> tuple[Original, Original]:
        a_finder = locator(place, catalog)
        return await seen(a_finder), await seen(a_finder)

    first, second = asyncio.run(looks())
    assert first is second
    assert first.focal_point == LEFT
    assert first.version != first.file_version
    assert catalog.asked == 1


def test_faces_are_those_of_these_bytes(place: Path, catalog: Catalog) -> None:
    async def looks() -> tuple[Original, Original]:
        a_finder = locator(place, catalog, recheck=60)
        catalog.faces, catalog.version = (Face(0.1, 0.2, 0.3, 0.4),), "1_1"
        first = await seen(a_finder)
        catalog.version = first.file_version
        a_finder.forget("shoe.png")
        return first, await seen(a_finder)

    first, second = asyncio.run(looks())
    assert first.faces == ()
    assert second.faces == (Face(0.1, 0.2, 0.3, 0.4),)
    assert second.version == first.version


def test_after_forgetting_it_is_looked_up_again(place: Path, catalog: Catalog) -> None:
    async def looks() -> tuple[Original, Original]:
        a_finder = locator(place, catalog, recheck=60)
        first = await seen(a_finder)
        catalog.point = RIGHT
        a_finder.forget("shoe.png")
        return first, await seen(a_finder)

    first, second = asyncio.run(looks())
    assert second.focal_point == RIGHT
    assert second.version != first.version


@pytest.mark.parametrize("trouble", [CatalogUnavailable(), None])
def test_without_the_catalog_an_original_is_found_and_the_point_follows_later(
    place: Path, catalog: Catalog, trouble: Exception | None
) -> None:
    async def looks() -> list[Original]:
        a_finder = locator(place, catalog)
        catalog.trouble, catalog.hangs = trouble, trouble is None
        during = [await seen(a_finder), await seen(a_finder)]
        catalog.trouble, catalog.hangs = None, False
        return [*during, await seen(a_finder), await seen(a_finder)]

    first, second, third, fourth = asyncio.run(looks())
    assert first is second
    assert first.focal_point is None
    assert third is fourth
    assert third.focal_point == LEFT


def test_a_file_that_is_replaced_while_the_catalog_is_away_keeps_its_point(place: Path, catalog: Catalog) -> None:
    async def looks() -> tuple[Original, Original]:
        a_finder = locator(place, catalog)
        first = await seen(a_finder)
        catalog.trouble = CatalogUnavailable()
        settled(place, encoded(quarters(50, 30), "png"))
        return first, await seen(a_finder)

    first, second = asyncio.run(looks())
    assert first.file_version != second.file_version
    assert second.focal_point == LEFT


def test_a_catalog_in_trouble_is_left_alone_for_a_while(
    place: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "_FOCUS_PAUSE", 60.0)
    catalog.trouble = CatalogUnavailable()

    async def looks() -> None:
        a_finder = locator(place, catalog)
        for _ in range(5):
            await seen(a_finder)

    asyncio.run(looks())
    assert catalog.asked == 1
