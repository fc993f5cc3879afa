"""Tone and effects, looked at pixel by pixel."""

import itertools

import pytest
import pyvips

from imgserve.pipeline.render import render
from imgserve.transform import parse_query
from tests.pictures import BLUE, GREEN, RED, animation, color_at, encoded, near, opened, quarters

GRAY, WHITE = (128, 128, 128), (255, 255, 255)
OLIVE = (128, 128, 64)


def flat(*color: int, side: int = 64) -> pyvips.Image:
    return (pyvips.Image.black(side, side, bands=len(color)) + list(color)).cast("uchar").copy(interpretation="srgb")


def made(image: pyvips.Image | bytes, query: str) -> pyvips.Image:
    data = image if isinstance(image, bytes) else encoded(image, "png")
    return opened(render(data, parse_query(f"format=png&{query}").transform).data)


@pytest.mark.parametrize(
    ("color", "query", "expected"),
    [
        (GRAY, "brightness=50", (192, 192, 192)),
        (GRAY, "brightness=-50", (64, 64, 64)),
        (OLIVE, "brightness=100", WHITE),
        (OLIVE, "brightness=-100", (0, 0, 0)),
        (GRAY, "exposure=50", (175, 175, 175)),
        (GRAY, "exposure=-50", (93, 93, 93)),
        ((191, 191, 191), "contrast=-100", GRAY),
        ((191, 191, 191), "contrast=100", WHITE),
        ((191, 191, 191), "contrast=-50", (159, 159, 159)),
        ((191, 64, 191), "contrast=50", (243, 12, 243)),
        ((230, 230, 20), "highlights=-100", (211, 211, 20)),
        ((230, 230, 20), "shadows=100", (230, 230, 51)),
        (GRAY, "gamma=50", (180, 180, 180)),
        (GRAY, "gamma=-50", (64, 64, 64)),
        (OLIVE, "saturation=-100", (123, 123, 123)),
        (OLIVE, "saturation=100", (133, 133, 5)),
        (GRAY, "saturation=100", GRAY),
        ((140, 128, 128), "vibrance=100", (149, 126, 126)),
        ((255, 0, 0), "vibrance=100", (255, 0, 0)),
        (RED, "hue=0", RED),
        (GRAY, "hue=90", GRAY),
        ((255, 0, 0), "hue=120", (0, 113, 0)),
        (OLIVE, "invert=1", (127, 127, 191)),
        (OLIVE, "grayscale=1", (123, 123, 123)),
        (OLIVE, "sepia=100", (161, 143, 112)),
        (OLIVE, "sepia=50", (144, 136, 88)),
        (GRAY, "monochrome=0a5f96", (10, 95, 150)),
        (WHITE, "monochrome=0a5f96", WHITE),
        ((0, 0, 0), "duotone=1d2b53,ffd166", (29, 43, 83)),
        (WHITE, "duotone=1d2b53,ffd166", (255, 209, 102)),
        (GRAY, "duotone=1d2b53,ffd166", (142, 126, 93)),
        (OLIVE, "sharpen=100", OLIVE),
        (OLIVE, "blur=2000", OLIVE),
        (OLIVE, "pixelate=100", OLIVE),
        (OLIVE, "invert=1&brightness=100", (0, 0, 0)),
    ],
)
def test_a_color_becomes_another(color: tuple[int, int, int], query: str, expected: tuple[int, int, int]) -> None:
    assert near(color_at(made(flat(*color), query), 0.5, 0.5), expected, 2)


TONES = ("exposure", "brightness", "contrast", "highlights", "shadows", "gamma")


@pytest.mark.parametrize(("name", "value"), [*itertools.product(TONES, (-100, -37, 12, 100))])
def test_a_tone_never_reverses_brightness(name: str, value: int) -> None:
    ramp = pyvips.Image.identity().copy(interpretation="b-w")
    row = list(bytes(made(ramp, f"{name}={value}").extract_band(0).write_to_memory()))
    assert row == sorted(row)
    assert (name in {"exposure", "brightness", "contrast"}) or (row[0], row[-1]) == (0, 255)


@pytest.mark.parametrize("query", ["saturation=0", "pixelate=1", "blur=0", "hue=0", "gamma=0&sharpen=0", "invert=0"])
def test_an_effect_of_nothing_has_no_effect(query: str) -> None:
    picture = encoded(quarters(), "png")
    assert made(picture, query).write_to_memory() == made(picture, "").write_to_memory()


def test_transparency_stays_and_clear_pixels_do_not_bleed() -> None:
    half = flat(220, 30, 30, 255).insert(flat(0, 255, 0, 0, side=32), 0, 0).insert(flat(0, 255, 0, 0, side=32), 0, 32)
    for query in ("saturation=50&gamma=20", "invert=1", "grayscale=1", "duotone=000,fff", "sharpen=50"):
        assert color_at(made(half, query), 0.25, 0.5)[-1] == 0, query
        assert color_at(made(half, query), 0.75, 0.5)[-1] == 255, query
    for query in ("blur=40", "blur=400", "pixelate=24"):
        blurred = made(half, query)
        for across in (0.3, 0.6, 0.9):
            red, green, _, alpha = color_at(blurred, across, 0.5)
            assert alpha < 40 or (red > 180 and green < 60), (query, across)


@pytest.mark.parametrize(
    "query", ["sepia=50", "monochrome=f00", "duotone=f00,00f", "grayscale=1", "hue=90&vibrance=50"]
)
def test_gray_originals_are_colored_where_the_effect_has_colors(query: str) -> None:
    picture = made(flat(128).copy(interpretation="b-w"), query)
    colored = picture.bands >= 3 and len(set(color_at(picture, 0.5, 0.5)[:3])) > 1
    assert colored == (query.partition("=")[0] in {"sepia", "monochrome", "duotone"})


def test_pixelate_shows_blocks_of_the_size_in_pixels_of_the_page() -> None:
    picture = made(encoded(quarters(), "png"), "width=100&pixelate=10&dpr=2")
    row = [picture.getpoint(at, 30) for at in range(200)]
    changes = [at for at in range(1, 200) if row[at] != row[at - 1]]
    assert (picture.width, {change % 20 for change in changes}) == (200, {0})


@pytest.mark.parametrize(("amount", "deviation"), [(40, 4), (160, 16), (640, 64)])
def test_a_blur_spreads_an_edge_by_its_standard_deviation(amount: int, deviation: int) -> None:
    edge = flat(0, 0, 0, side=600).insert(flat(255, 255, 255, side=600), 300, 0)
    blurred = made(edge, f"blur={amount}")
    # One standard deviation aside of an edge, a Gaussian has 16 % and 84 %.
    assert near([blurred.getpoint(300 + aside, 300)[0] for aside in (-deviation - 1, deviation)], (38, 217), 9)


def test_sharpen_raises_the_contrast_of_an_edge_and_of_nothing_else() -> None:
    edge = flat(100, 100, 100, side=40).insert(flat(150, 150, 150, side=40), 20, 0)
    picture = made(edge, "sharpen=50")
    assert picture.getpoint(19, 20)[0] < 90
    assert picture.getpoint(20, 20)[0] > 160
    assert [picture.getpoint(at, 20)[0] for at in (2, 16, 23, 38)] == [100, 100, 150, 150]


def test_enhance_stretches_tones_within_bounds() -> None:
    dull = (pyvips.Image.identity(bands=3) * 0.4 + 60).cast("uchar").copy(interpretation="srgb")
    before, after = dull.max() - dull.min(), made(dull, "auto=enhance")
    assert 1.4 * before < after[:3].max() - after[:3].min() <= 1.7 * before
    whole = pyvips.Image.identity(bands=3).copy(interpretation="srgb")
    assert abs(made(whole, "auto=enhance")[:3].avg() - whole.avg()) < 3


def test_every_frame_of_an_animation_has_the_effect() -> None:
    roll = pyvips.Image.new_from_buffer(
        render(animation([RED, GREEN, BLUE]), parse_query("grayscale=1&format=webp").transform).data, "", n=-1
    )
    assert roll.get("n-pages") == 3
    for frame in range(3):
        color = roll(roll.width // 2, roll.get("page-height") * frame + roll.get("page-height") // 2)
        assert max(color[:3]) - min(color[:3]) < 8


def test_enhance_leaves_animations_alone_which_would_flicker() -> None:
    query = "width=40&format=webp&lossless=1"
    moving = animation([RED, GREEN, BLUE])
    plain, enhanced = (render(moving, parse_query(query + more).transform).data for more in ("", "&auto=enhance"))
    assert plain == enhanced


def test_what_surrounds_the_picture_keeps_its_color() -> None:
    picture = made(encoded(quarters(), "png"), "w=200&h=100&fit=fill&fill-color=f00&invert=1")
    assert near(color_at(picture, 0.05, 0.5), (255, 0, 0))
    assert near(color_at(picture, 0.4, 0.25), tuple(255 - part for part in RED))
