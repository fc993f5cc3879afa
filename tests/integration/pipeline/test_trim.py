"""What is cut off around a picture, compared with a search through all pixels."""

import itertools
import random

import pytest
import pyvips

from imgserve.geometry.box import Box, Size, Turn
from imgserve.pipeline.color import ink
from imgserve.pipeline.render import render
from imgserve.pipeline.trim import trimmed
from imgserve.transform import Transform, parse_query
from tests.pictures import BLUE, GREEN, RED, WHITE, encoded, near, opened, quarters

GRAY = (128, 128, 128)


def bordered(left: int, top: int, right: int, bottom: int, paint: tuple[int, ...] = WHITE) -> pyvips.Image:
    inner = quarters(60, 40)
    inner = inner.draw_rect(list(GREEN), 0, 0, 60, 40, fill=False)
    for paint_of_corner, x, y in ((RED, 0, 0), (BLUE, 59, 0), (GRAY, 0, 39)):
        inner = inner.draw_rect(list(paint_of_corner), x, y, 1, 1, fill=True)
    if len(paint) == 4:
        inner = inner.bandjoin(255)
    return inner.embed(left, top, 60 + left + right, 40 + top + bottom, extend="background", background=paint)


def made(query: str, data: bytes) -> pyvips.Image:
    rendition = render(data, parse_query(query).transform)
    picture = opened(rendition.data)
    assert (picture.width, picture.height) == (rendition.width, rendition.height)
    return picture


MARGINS = [(10, 20, 30, 5), (0, 0, 0, 7), (3, 0, 0, 0), (0, 9, 9, 0), (1, 1, 1, 1)]


@pytest.mark.parametrize("name", ["png", "tiff", "webp"])
@pytest.mark.parametrize("margins", MARGINS)
@pytest.mark.parametrize(
    "query", ["trim=auto", "trim=color&trim-color=f0f0f0", "trim=f0f0f0", "trimcolor=f0f0f0&trim=color&trimtol=0"]
)
def test_a_border_is_cut_off(name: str, margins: tuple[int, int, int, int], query: str) -> None:
    data = encoded(bordered(*margins), name, **({"lossless": True} if name == "webp" else {}))
    picture = made(f"fm=png&{query}", data)
    expected = opened(encoded(bordered(0, 0, 0, 0), "png"))
    assert (picture.width, picture.height) == (60, 40)
    assert (picture - expected).abs().max() == 0


@pytest.mark.parametrize("mode", ["auto", "color", "alpha", "80ffffff"])
def test_transparent_pixels_are_cut_off(mode: str) -> None:
    data = encoded(bordered(10, 20, 30, 5, (9, 99, 199, 0)), "png")
    picture = made(f"trim={mode}", data)
    assert (picture.width, picture.height) == (60, 40)


def brute(image: pyvips.Image, paint: list[float], tolerance: float) -> tuple[int, int, int, int] | None:
    pixels, bands = bytes(image.write_to_memory()), image.bands
    points = [
        (x, y)
        for y, x in itertools.product(range(image.height), range(image.width))
        for first in [(y * image.width + x) * bands]
        if any(abs(a - b) > tolerance for a, b in zip(pixels[first : first + bands], paint, strict=True))
    ]
    if not points:
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("tolerance", [0, 10, 60, 255])
def test_the_box_is_that_of_a_search_through_all_pixels(seed: int, tolerance: int) -> None:
    chance = random.Random(seed)
    bands = chance.choice([1, 3])
    image = pyvips.Image.black(23, 17, bands=bands).copy(interpretation="srgb" if bands == 3 else "b-w") + 100
    image = image.cast("uchar").copy_memory()
    for _ in range(chance.randint(0, 5)):
        dots = [chance.choice([100, 101, 110, 111, 160, 161, 255]) for _ in range(bands)]
        image = image.draw_rect(dots, chance.randint(1, 21), chance.randint(1, 15), 1, chance.randint(1, 2), fill=True)
    expected = brute(image, ink(image, (100, 100, 100, 255)), tolerance)
    for orientation in (1, 6, 4):
        found = trimmed([image], Transform(trim="auto", trim_tol=float(tolerance)), orientation)
        assert found.trim is None
        if expected is None:
            assert found.rect is None
            continue
        left, top, right, bottom = expected
        turn = Turn.upright(orientation, None)
        box = turn.box(Box(left, top, right - left, bottom - top), 23, 17)
        size = Size(*map(int, turn.size(23, 17)))
        assert found.rect == (
            box.left / size.width,
            box.top / size.height,
            box.width / size.width,
            box.height / size.height,
        )


@pytest.mark.parametrize("query", ["trim=auto", "trim=f0f0f0", "trim=color", "trim=auto&trim-tol=255"])
def test_a_picture_that_is_all_border_stays(query: str) -> None:
    data = encoded(pyvips.Image.black(50, 40, bands=3).copy(interpretation="srgb") + 240, "png")
    picture = made(query, data)
    assert (picture.width, picture.height) == (50, 40)


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("trim=auto&w=30", (30, 20)),
        ("trim=auto&w=30&h=30", (30, 30)),
        ("trim=auto&w=600", (60, 40)),
        ("trim=auto&w=600&enlarge=1", (600, 400)),
        ("trim=auto&rect=0,0,50,65", (40, 40)),
        ("trim=auto&rot=90", (40, 60)),
        ("trim=auto&flip=h&w=0.5", (30, 20)),
        ("trim=auto&pad=7", (74, 54)),
        ("trim=auto&ar=1:1", (40, 40)),
        ("trim=00f", (100, 65)),
        ("trim=alpha", (100, 65)),
    ],
)
def test_everything_else_follows_the_trim(query: str, size: tuple[int, int]) -> None:
    picture = made(f"{query}&fm=png", encoded(bordered(10, 20, 30, 5), "png"))
    assert (picture.width, picture.height) == size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_finds_the_border_of_a_turned_original(orientation: int) -> None:
    image = bordered(10, 20, 30, 5).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    picture = made("trim=auto&fm=png", encoded(image, "png"))
    assert (picture.width, picture.height) == ((60, 40) if orientation < 5 else (40, 60))
    assert near(picture.getpoint(picture.width // 2, 0), GREEN)


def test_most_corners_decide_the_color() -> None:
    image = bordered(0, 0, 20, 0).draw_rect(list(RED), 0, 0, 1, 1, fill=True)
    picture = made("trim=auto&fm=png", encoded(image, "png"))
    assert (picture.width, picture.height) == (60, 40)
    assert made("trim=color&fm=png", encoded(image, "png")).width == 80


def test_the_tolerance_absorbs_the_noise_of_a_jpeg() -> None:
    image = bordered(16, 16, 16, 16)
    picture = made("trim=auto", encoded(image, "jpg", Q=75))
    assert 60 <= picture.width <= 68
    assert 40 <= picture.height <= 48


@pytest.mark.parametrize("name", ["webp", "gif"])
def test_all_frames_are_cut_at_the_same_place(name: str) -> None:
    frames = [
        pyvips.Image.black(64, 64, bands=3).copy(interpretation="srgb").draw_rect(list(paint), x, y, 20, 20, fill=True)
        for paint, x, y in ((RED, 10, 10), (BLUE, 30, 5))
    ]
    roll = pyvips.Image.arrayjoin(frames, across=1).copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", 64)
    data = encoded(roll, name, **({"lossless": True} if name == "webp" else {}))
    moving = opened(made_bytes("trim=auto&lossless=1", data), n=-1)
    assert (moving.width, moving.get("page-height"), moving.height) == (40, 25, 50)
    assert near(moving.getpoint(0, 5), RED)
    assert near(moving.getpoint(39, 25), BLUE)


def made_bytes(query: str, data: bytes) -> bytes:
    return render(data, parse_query(query).transform).data


def test_an_svg_is_cut_at_its_drawing() -> None:
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><circle cx="12" cy="12" r="6"/></svg>'
    picture = made("trim=auto&w=240", drawing)
    assert (picture.width, picture.height) == (240, 240)
    assert picture.getpoint(120, 1)[3] == 255
    assert picture.getpoint(3, 3)[3] == 0


def test_a_trim_that_finds_nothing_serves_the_data_of_the_original() -> None:
    data = encoded(bordered(0, 0, 0, 0), "png", compression=9)
    assert len(made_bytes("trim=auto", data)) <= len(data)
