"""Pad, border and shapes, compared pixel by pixel with what they are made of."""

import itertools

import pytest
import pyvips

from imgserve.pipeline.render import render
from imgserve.transform import parse_query
from tests.pictures import RED, animation, encoded, near, opened, quarters

PNG = encoded(quarters(120, 90), "png")
GOLD, NAVY = (255, 215, 0), (0, 0, 128)


def made(query: str, data: bytes = PNG) -> pyvips.Image:
    rendition = render(data, parse_query(query).transform)
    picture = opened(rendition.data)
    assert (picture.width, picture.height) == (rendition.width, rendition.height)
    return picture


def same(one: pyvips.Image, other: pyvips.Image, within: int = 0) -> bool:
    return bool((one.cast("short") - other.cast("short")).abs().max() <= within)


@pytest.mark.parametrize("sides", ["w=100&h=80", "w=100", "h=80&fit=max", "w=100&h=100&fit=fill&bg=gold", ""])
@pytest.mark.parametrize("pad", [(0, 0, 0, 0), (7, 7, 7, 7), (1, 2, 3, 4), (0, 0, 0, 9)])
@pytest.mark.parametrize("border", [0, 1, 5])
def test_the_picture_is_that_of_the_remaining_size(sides: str, pad: tuple[int, int, int, int], border: int) -> None:
    top, right, bottom, left = pad
    text = f"{sides}&fm=png&bg=gold&pad={','.join(map(str, pad))}&border={border},navy"
    whole = made(text)
    inner_width, inner_height = whole.width - left - right - 2 * border, whole.height - top - bottom - 2 * border
    fit = "fit=fill" if "fill" in sides else "fit=crop" if sides == "w=100&h=80" else "fit=scale"
    inner = made(f"w={inner_width}&h={inner_height}&{fit}&fm=png&bg=gold")
    with_border = inner.embed(
        border, border, inner.width + 2 * border, inner.height + 2 * border, extend="background", background=NAVY
    )
    expected = with_border.embed(left, top, whole.width, whole.height, extend="background", background=GOLD)
    assert same(whole, expected)


def coverage(width: int, height: int, query: str, inset: float = 0) -> pyvips.Image:
    """Return how much of each pixel is inside a shape, by counting 64 points in each."""
    fine = 8
    at = pyvips.Image.xyz(width * fine, height * fine)
    x, y = (at[0] + 0.5) / fine, (at[1] + 0.5) / fine
    if "ellipse" in query:
        inside = ((x - width / 2) / (width / 2 - inset)) ** 2 + ((y - height / 2) / (height / 2 - inset)) ** 2 <= 1
    else:
        radii = [float(part) for part in query.partition("corner-radius=")[2].split(",")]
        radii = [max(0.0, radius - inset) for radius in (radii * 4)[:4]]
        inside = (x >= inset) & (x <= width - inset) & (y >= inset) & (y <= height - inset)
        for radius, (right, down) in zip(radii, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
            across = x - width + inset + radius if right else inset + radius - x
            below = y - height + inset + radius if down else inset + radius - y
            outside = (across > 0) & (below > 0) & (across**2 + below**2 > radius**2)
            inside = outside.ifthenelse(0, inside)
    return (inside != 0).cast("float").shrink(fine, fine) / 255


SHAPES = ["mask=ellipse", "corner-radius=15", "corner-radius=0,10,16,12", "corner-radius=1"]
EDGE = 34
"""What the finite grid of the antialiasing adds or removes, of 255."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [(100, 80), (61, 61), (33, 90)])
def test_a_shape_is_cut_out_with_smooth_edges(shape: str, size: tuple[int, int]) -> None:
    width, height = size
    cut, plain = made(f"w={width}&h={height}&fm=png&{shape}"), made(f"w={width}&h={height}&fm=png")
    assert same(cut[:3], plain)
    assert same(cut[3], coverage(width, height, shape) * 255, within=EDGE)


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_a_border_follows_the_shape(shape: str) -> None:
    width, height, border = 100, 80, 6
    whole = made(f"w={width}&h={height}&fm=png&border={border},navy&{shape}")
    inner = made(f"w={width - 2 * border}&h={height - 2 * border}&fm=png")
    inner = inner.embed(border, border, width, height)
    part = coverage(width, height, shape, border)
    expected = inner * part + (part * -1 + 1) * list(NAVY)
    assert same(whole[:3], expected, within=EDGE)
    assert same(whole[3], coverage(width, height, shape) * 255, within=EDGE)


@pytest.mark.parametrize(
    ("query", "corner"),
    [
        ("fm=jpg", (255, 255, 255)),
        ("fm=jpg&bg=gold", GOLD),
        ("fm=png", (RED[0], RED[1], RED[2], 0)),
        ("fm=png&bg=gold", GOLD),
        ("fm=png&bg=80ffd700", (255, 215, 0, 128)),
        ("fm=jpg&bg=80ffd700", (255, 235, 127)),
        ("fm=jpg&sat=-100&bg=gold", GOLD),
        ("fm=jpg&grayscale=1", (255,)),
    ],
)
@pytest.mark.parametrize("more", ["mask=ellipse", "pad=3&mask=ellipse"])
def test_corners_have_the_background_or_none(query: str, corner: tuple[int, ...], more: str) -> None:
    seen = made(f"w=100&h=80&{query}&{more}").getpoint(0, 0)
    if len(corner) == 4 and corner[3] == 0:
        assert seen[3] == 0
    else:
        assert len(seen) == len(corner)
        assert near(seen, corner, within=12)


def test_a_translucent_border_shows_the_background() -> None:
    for output, background in itertools.product(("png", "jpg"), ("ffffff", "gold")):
        point = made(f"w=100&h=80&fm={output}&border=8,80000080&bg={background}").getpoint(2, 40)
        ground = GOLD if background == "gold" else (255, 255, 255)
        assert near(point, [(one + other) / 2 for one, other in zip(ground, NAVY, strict=True)], within=8)
    assert made("w=100&h=80&fm=png&border=8,80000080").getpoint(2, 40) == [0, 0, 128, 128]


def test_a_transparent_picture_stays_transparent_inside_a_shape() -> None:
    data = encoded(quarters(120, 90).bandjoin(100), "png")
    picture = made("fm=png&corner-radius=30&border=4,red&pad=5", data)
    assert [picture.getpoint(at, 50)[3] for at in (2, 7, 60)] == [0, 255, 100]
    assert picture.getpoint(0, 0)[3] == picture.getpoint(6, 6)[3] == 0


@pytest.mark.parametrize("query", ["pad=5&border=2,navy", "mask=ellipse", "corner-radius=9&border=2,navy"])
def test_every_frame_of_an_animation_has_them(query: str) -> None:
    moving = render(animation([RED, GOLD], "webp"), parse_query(f"w=50&fm=webp&lossless=1&{query}").transform)
    roll = opened(moving.data, n=-1)
    assert (moving.width, moving.height) == (roll.width, roll.get("page-height")) == (50, 50)
    first, second = (roll.crop(0, top, 50, 50) for top in (0, 50))
    assert same(first[3], second[3])
    assert near(first.getpoint(25, 25), (*RED, 255))
    assert near(second.getpoint(25, 25), (*GOLD, 255))


@pytest.mark.parametrize("query", ["mask=ellipse", "corner-radius=9", "border=1,red", "pad=0,0,0,1"])
def test_the_data_of_the_original_does_not_replace_what_has_them(query: str) -> None:
    data = encoded(quarters(120, 90), "png", compression=9)
    assert made(query, data).getpoint(0, 0) != opened(data).getpoint(0, 0)
