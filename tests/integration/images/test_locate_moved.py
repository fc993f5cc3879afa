"""Paths of moved images: what they meant still means the same, and the catalog is asked little."""

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from imgserve.errors import CatalogUnavailable
from imgserve.images import locate
from imgserve.images.locate import Locator
from imgserve.originals.folder import Originals
from tests.pictures import encoded, quarters
from tests.servers import settled

PICTURE = encoded(quarters(40, 30), "png")


class Redirects:
    """Answers as a catalog would, or is in trouble."""

    def __init__(self, **targets: str) -> None:
        self.targets = {old.replace("_", "."): new for old, new in targets.items()}
        self.trouble = False
        self.asked = 0

    async def __call__(self, ids: Collection[str]) -> Mapping[str, str]:
        self.asked += 1
        if self.trouble:
            raise CatalogUnavailable
        return {one: self.targets[one] for one in ids if one in self.targets}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("new/shoe.jpg", "new/ü.png", "both.jpg", "both.webp"):
        settled(tmp_path / name, PICTURE)
    return tmp_path


def locator(folder: Path, redirects: Redirects, recheck: float = 60) -> Locator:
    return Locator(Originals(folder), recheck=recheck, presets={"card"}, redirects=redirects)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("old.jpg", "new/shoe.jpg"),
        ("old.webp", "new/shoe.webp"),
        ("old.jpg/card", "new/shoe.jpg/card"),
        ("old.jpg/Card", "new/shoe.jpg/Card"),
        ("old.webp/card", "new/shoe.webp/card"),
        ("UPPER.webp", "new/shoe.webp"),
        ("u\u0308.png", "new/ü.png"),
        ("gone.jpg", None),
        ("to-both.png", "both.jpg"),
        ("to-both.webp", None),
        ("old.jpg/other", None),
        ("old.txt", None),
        ("old", None),
        ("absent.jpg", None),
    ],
)
def test_a_path_means_the_same_after_the_move(folder: Path, path: str, expected: str | None) -> None:
    redirects = Redirects(old_jpg="new/shoe.jpg", gone_jpg="nowhere.jpg", UPPER_JPG="new/shoe.jpg")
    redirects.targets |= {"ü.png": "new/ü.png", "to-both.png": "both.jpg"}
    assert asyncio.run(locator(folder, redirects).moved(path)) == expected


def test_the_catalog_is_asked_once_for_a_while(folder: Path) -> None:
    async def looks() -> None:
        redirects = Redirects(old_jpg="new/shoe.jpg")
        finder = locator(folder, redirects)
        for path, expected in (("absent.jpg", None), ("old.jpg", "new/shoe.jpg")):
            redirects.asked = 0
            found = await asyncio.gather(*(finder.moved(path) for _ in range(9)))
            assert [*found, await finder.moved(path)] == [expected] * 10
            assert redirects.asked == 1

    asyncio.run(looks())


def test_a_move_is_followed_at_once_when_it_is_known(folder: Path) -> None:
    async def looks() -> None:
        redirects = Redirects()
        finder = locator(folder, redirects)
        assert await finder.moved("old.jpg") is None
        redirects.targets["old.jpg"] = "new/shoe.jpg"
        finder.forget("old.jpg")
        assert await finder.moved("old.jpg") == "new/shoe.jpg"
        (folder / "new/shoe.jpg").rename(folder / "newer.jpg")
        redirects.targets["old.jpg"] = "newer.jpg"
        for changed in ("new/shoe.jpg", "newer.jpg"):
            finder.forget(changed)
        assert await finder.moved("old.jpg") == "newer.jpg"

    asyncio.run(looks())


def test_without_the_catalog_nothing_is_known_and_little_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "_FOCUS_PAUSE", 60.0)

    async def looks() -> None:
        redirects = Redirects(old_jpg="new/shoe.jpg")
        redirects.trouble = True
        finder = locator(folder, redirects)
        assert [await finder.moved(path) for path in ("old.jpg", "old.png", "old.gif")] == [None] * 3
        assert redirects.asked == 1
        assert (await finder.find("both.jpg")).original.image_id == "both.jpg"

    asyncio.run(looks())


def test_without_redirects_nothing_is_looked_up(folder: Path) -> None:
    assert asyncio.run(Locator(Originals(folder), recheck=60, presets=()).moved("old.jpg")) is None
