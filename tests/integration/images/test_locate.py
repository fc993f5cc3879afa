"""From a path to an original: exact names, presets behind them, other extensions, and how long a look is good."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imgserve.errors import ImageNotFound, OriginalUnsettled, Unavailable, UnsupportedImage
from imgserve.images.locate import Found, Locator
from imgserve.model import Original
from imgserve.originals.folder import Originals
from tests.pictures import encoded, quarters
from tests.servers import settled

PICTURE = encoded(quarters(40, 30), "png")


class Counting(Originals):
    """A folder that counts the looks at it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.looks: list[str] = []
        self.stems: list[str] = []

    def stat(self, image_id: str, known: Original | None = None) -> Original:
        self.looks.append(image_id)
        return super().stat(image_id, known)

    def find_stem(self, stem: str) -> list[str]:
        self.stems.append(stem)
        return super().find_stem(stem)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("shoe.jpg", "products/shoe.png", "both.jpg", "both.webp", "card", "photo/card", "x.pcx"):
        settled(tmp_path / name, PICTURE)
    return tmp_path


@pytest.fixture
def originals(folder: Path) -> Counting:
    return Counting(folder)


def find(originals: Counting, *paths: str, recheck: float = 60) -> list[Found]:
    async def all_of() -> list[Found]:
        locator = Locator(originals, recheck=recheck, presets={"card", "default"})
        return [await locator.find(path) for path in paths]

    return asyncio.run(all_of())


@pytest.mark.parametrize(
    ("path", "image_id", "preset", "output"),
    [
        ("shoe.jpg", "shoe.jpg", None, None),
        ("products/shoe.png", "products/shoe.png", None, None),
        ("shoe.jpg/card", "shoe.jpg", "card", None),
        ("shoe.jpg/CARD", "shoe.jpg", "card", None),
        ("shoe.webp", "shoe.jpg", None, "webp"),
        ("shoe.WebP", "shoe.jpg", None, "webp"),
        ("shoe.jpeg", "shoe.jpg", None, "jpg"),
        ("shoe.webp/card", "shoe.jpg", "card", "webp"),
        ("products/shoe.avif", "products/shoe.png", None, "avif"),
        ("both.webp", "both.webp", None, None),
        ("both.png", "both.jpg", None, "png"),
        ("card", "card", None, None),
        ("photo/card", "photo/card", None, None),
        ("x.pcx", "x.pcx", None, None),
    ],
)
def test_a_path_means_an_original_and_what_to_make_of_it(
    originals: Counting, path: str, image_id: str, preset: str | None, output: str | None
) -> None:
    [found] = find(originals, path)
    assert (found.original.image_id, found.preset, found.format) == (image_id, preset, output)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "absent.jpg",
        "shoe",
        "shoe.",
        "shoe.heic",
        "shoe.svg",
        "shoe.txt",
        ".webp",
        "products/.webp",
        "shoe.jpg/none",
        "shoe.jpg/card/card",
        "/card",
        "x.webp",
        "absent.jpg/card",
        "../shoe.webp",
    ],
)
def test_a_path_that_means_nothing_is_absent(originals: Counting, path: str) -> None:
    with pytest.raises(ImageNotFound):
        find(originals, path)


def test_an_absent_file_costs_one_lookup_and_one_listing(originals: Counting) -> None:
    with pytest.raises(ImageNotFound):
        find(originals, "products/absent.webp")
    assert (originals.looks, originals.stems) == (["products/absent.webp"], ["products/absent"])


@pytest.mark.parametrize("path", ["absent.jpg", "products/absent.jpg/card", "absent", "shoe.heic"])
def test_a_missing_image_is_named(originals: Counting, path: str) -> None:
    with pytest.raises(ImageNotFound) as caught:
        find(originals, path)
    assert caught.value.detail == f'There is no image "{path}".'
    assert caught.value.members == {"id": path}


@pytest.mark.parametrize(("last", "near"), [("crad", ', did you mean "card"?'), ("none", ".")])
def test_an_unknown_preset_is_named(originals: Counting, last: str, near: str) -> None:
    with pytest.raises(ImageNotFound) as caught:
        find(originals, f"products/shoe.webp/{last}")
    assert caught.value.detail == f'The image "products/shoe.webp" exists, but there is no preset "{last}"{near}'
    assert caught.value.members == {"id": "products/shoe.webp"}


def test_a_missing_image_costs_one_look_and_none_for_a_second(
    originals: Counting, jump: Callable[[float], None]
) -> None:
    async def story() -> None:
        locator = Locator(originals, recheck=0.5, presets=("card",))
        for seconds in (0.0, 0.9, 0.2):
            jump(seconds)
            with pytest.raises(ImageNotFound):
                await locator.find("products/absent.heic")

    asyncio.run(story())
    assert (originals.looks, originals.stems) == (["products/absent.heic"] * 2, [])


def test_a_folder_that_cannot_be_read_is_reported(originals: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_stem: str) -> list[str]:
        raise Unavailable

    monkeypatch.setattr(originals, "find_stem", fail)
    with pytest.raises(Unavailable):
        find(originals, "absent.webp")


def test_a_file_that_is_no_picture_is_reported(originals: Counting, folder: Path) -> None:
    settled(folder / "notes.txt", b"no picture")
    (folder / "young.jpg").write_bytes(b"not yet")
    with pytest.raises(UnsupportedImage):
        find(originals, "notes.txt")
    for path in ("young.jpg", "young.webp"):
        with pytest.raises(OriginalUnsettled):
            find(originals, path)


def test_a_look_is_good_for_a_while(originals: Counting) -> None:
    first, second = find(originals, "shoe.jpg", "shoe.jpg")
    assert originals.looks == ["shoe.jpg"]
    assert first.original is second.original


def test_absence_is_remembered_as_long(originals: Counting, folder: Path) -> None:
    async def twice() -> None:
        locator = Locator(originals, recheck=60, presets=())
        for _ in range(2):
            with pytest.raises(ImageNotFound):
                await locator.find("absent")
        settled(folder / "absent", PICTURE)
        locator.forget("absent")
        assert (await locator.find("absent")).original.image_id == "absent"

    asyncio.run(twice())
    assert originals.looks == ["absent", "absent"]


def test_a_file_that_stays_the_same_stays_the_same_object(originals: Counting) -> None:
    first, second = find(originals, "shoe.jpg", "shoe.jpg", recheck=0)
    assert len(originals.looks) == 2
    assert first.original is second.original


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what sets the clock forward, so that no test depends on how fast the machine is."""
    ahead, clock = [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + sum(ahead))
    return ahead.append


def test_a_replaced_and_a_deleted_file_are_seen_after_the_recheck_time(
    originals: Counting, folder: Path, jump: Callable[[float], None]
) -> None:
    async def story() -> None:
        locator = Locator(originals, recheck=60, presets=())
        before = (await locator.find("shoe.jpg")).original
        settled(folder / "shoe.jpg", PICTURE + b"\0")
        assert (await locator.find("shoe.jpg")).original is before
        jump(61)
        assert (await locator.find("shoe.jpg")).original.version != before.version
        (folder / "shoe.jpg").unlink()
        jump(61)
        with pytest.raises(ImageNotFound):
            await locator.find("shoe.jpg")

    asyncio.run(story())


def test_what_is_forgotten_is_looked_at_anew(originals: Counting) -> None:
    async def story() -> None:
        locator = Locator(originals, recheck=60, presets=())
        await locator.find("shoe.jpg")
        locator.forget("shoe.jpg")
        locator.forget("never seen")
        await locator.find("shoe.jpg")

    asyncio.run(story())
    assert originals.looks == ["shoe.jpg", "shoe.jpg"]


def test_what_is_forgotten_is_looked_at_anew_by_another_extension_too(originals: Counting, folder: Path) -> None:
    """The endpoint forgets by the original's own id, whatever the path was."""

    async def story() -> None:
        locator = Locator(originals, recheck=60, presets=())
        before = (await locator.find("shoe.webp")).original
        settled(folder / "shoe.jpg", PICTURE + b"\0")
        locator.forget(before.image_id)
        assert (await locator.find("shoe.webp")).original.version != before.version

    asyncio.run(story())


def test_many_who_ask_at_once_cost_one_look(originals: Counting) -> None:
    async def all_at_once() -> None:
        locator = Locator(originals, recheck=60, presets=())
        await asyncio.gather(*(locator.find("shoe.jpg") for _ in range(50)))

    asyncio.run(all_at_once())
    assert originals.looks == ["shoe.jpg"]


def test_the_clock_of_a_look_does_not_turn_back(originals: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    find(originals, "shoe.jpg", "shoe.jpg")
    assert originals.looks == ["shoe.jpg"]


def test_a_look_that_sees_the_same_prolongs_the_sight_for_all_who_hold_it(originals: Counting) -> None:
    first, second = find(originals, "shoe.webp", "shoe.webp", recheck=0)
    assert [stat.seen for stat in first.stats[1:]] == [first.original]
    assert first.stats[1] is second.stats[1]


def test_a_sight_ends_where_something_changed(originals: Counting, folder: Path, jump: Callable[[float], None]) -> None:
    async def story() -> None:
        locator = Locator(originals, recheck=60, presets=())
        [before] = (await locator.find("shoe.jpg")).stats
        assert time.monotonic() < before.until
        settled(folder / "shoe.jpg", PICTURE + b"\0")
        jump(61)
        [after] = (await locator.find("shoe.jpg")).stats
        assert before.until < time.monotonic() < after.until

    asyncio.run(story())


def test_a_sight_ends_when_it_is_forgotten(originals: Counting) -> None:
    async def story() -> None:
        locator = Locator(originals, recheck=60, presets=())
        for path in ("shoe.jpg", "shoe.webp"):
            *_, stat = (await locator.find(path)).stats
            locator.forget("shoe.jpg")
            assert stat.until < time.monotonic()
            assert stat is not (await locator.find(path)).stats[-1]

    asyncio.run(story())


def test_a_preset_depends_on_the_absence_of_a_file_of_its_name(originals: Counting) -> None:
    [found] = find(originals, "shoe.jpg/card")
    assert [type(stat.seen) for stat in found.stats] == [ImageNotFound, Original]


COMPOSED, DECOMPOSED = "caf\u00e9/\u00fcber.png", "cafe\u0301/u\u0308ber.png"
MIXED = "cafe\u0301/\u00fcber.png"


@pytest.mark.parametrize("stored", [COMPOSED, DECOMPOSED, MIXED])
@pytest.mark.parametrize("path", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("ending", ["png", "webp", "png/card"])
def test_a_name_in_another_normalization_finds_the_file(
    originals: Counting, folder: Path, stored: str, path: str, ending: str
) -> None:
    settled(folder / stored, PICTURE)
    [found] = find(originals, path.removesuffix("png") + ending)
    assert found.original.image_id == stored


def test_a_file_of_exactly_the_name_comes_first(originals: Counting, folder: Path) -> None:
    for name in (COMPOSED, DECOMPOSED):
        settled(folder / name, PICTURE)
    assert [found.original.image_id for found in find(originals, COMPOSED, DECOMPOSED)] == [COMPOSED, DECOMPOSED]


def test_a_change_of_a_file_is_seen_under_every_spelling(originals: Counting, folder: Path) -> None:
    async def story() -> None:
        settled(folder / DECOMPOSED, PICTURE)
        locator = Locator(originals, recheck=60, presets=())
        for path in (COMPOSED, COMPOSED.replace("png", "webp")):
            before = (await locator.find(path)).original
            settled(folder / DECOMPOSED, PICTURE + path.encode())
            locator.forget(before.image_id)
            assert (await locator.find(path)).original.version != before.version
        assert (await locator.find_exactly(COMPOSED)).original.image_id == DECOMPOSED

    asyncio.run(story())


def test_a_plain_name_is_looked_up_once(originals: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: str) -> bool:
        raise AssertionError

    monkeypatch.setattr("os.path.lexists", fail)
    with pytest.raises(ImageNotFound):
        find(originals, "products/absent.png")
    assert originals.looks == ["products/absent.png"]
