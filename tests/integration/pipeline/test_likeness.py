"""What a small picture tells: its likeness, its dominant color, its preview."""

import itertools
from collections.abc import Callable

import pytest
import pyvips

from benchmarks.samples.aurora import aurora
from benchmarks.samples.balloon import balloon
from benchmarks.samples.dunes import dunes
from benchmarks.samples.graphics import glass
from benchmarks.samples.mountains import mountains
from imgserve.model import Facts, Limits
from imgserve.pipeline.facts import facts_of
from tests.pictures import BLUE, GREEN, RED, WHITE, encoded, near, noise, quarters
from tests.thumbnails import shown

NEAR, FAR = 14, 20
"""Bits: what is the same picture stays below the one, what is another stays above the other."""


def facts(image: pyvips.Image, name: str = "png", **options: object) -> Facts:
    return facts_of(encoded(image, name, **options), "1", Limits())


@pytest.fixture(scope="module")
def scenes() -> dict[str, pyvips.Image]:
    """Draw pictures that differ."""
    drawn = {
        "mountains": mountains(900, 600), "balloon": balloon(600, 900), "dunes": dunes(900, 600),
        "aurora": aurora(900, 600), "glass": glass(600), "noise": noise(900, 600), "quarters": quarters(),
    }  # fmt: skip
    return {name: image.colourspace("srgb").cast("uchar").copy_memory() for name, image in drawn.items()}


@pytest.fixture(scope="module")
def known(scenes: dict[str, pyvips.Image]) -> dict[str, Facts]:
    """Return what these pictures tell as they are."""
    return {name: facts(image) for name, image in scenes.items()}


def apart(one: Facts, other: Facts) -> int:
    assert one.perceptual_hash is not None
    assert other.perceptual_hash is not None
    return (one.perceptual_hash ^ other.perceptual_hash).bit_count()


def cropped(image: pyvips.Image, part: float) -> pyvips.Image:
    across, down = int(image.width * part), int(image.height * part)
    return image.crop(across, down, image.width - 2 * across, image.height - 2 * down)


CHANGES: dict[str, Callable[[pyvips.Image], Facts]] = {
    "half the size": lambda image: facts(image.resize(0.5)),
    "a tenth of the size": lambda image: facts(image.resize(0.1)),
    "other proportions": lambda image: facts(image.resize(0.5, vscale=0.45)),
    "jpeg of quality 50": lambda image: facts(image, "jpg", Q=50, background=255),
    "webp of quality 50": lambda image: facts(image, "webp", Q=50),
    "a crop by three percent": lambda image: facts(cropped(image, 0.03)),
    "brighter": lambda image: facts(image.linear([1.1] * 3 + [1] * (image.bands - 3), 4).cast("uchar")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_picture_is_near_to_itself_however_it_was_changed(
    scenes: dict[str, pyvips.Image], known: dict[str, Facts], change: str
) -> None:
    for name, image in scenes.items():
        if name != "quarters":  # nothing but symmetry, whose waves of nothing come up at a breath
            assert apart(known[name], CHANGES[change](image)) < NEAR, name


def test_different_pictures_are_far_from_each_other(known: dict[str, Facts]) -> None:
    for one, other in itertools.combinations(known.values(), 2):
        assert apart(one, other) > FAR


def test_a_picture_turned_by_exif_is_the_upright_one(scenes: dict[str, pyvips.Image]) -> None:
    image = scenes["mountains"]
    stored = image.rot90().copy()
    stored.set_type(pyvips.GValue.gint_type, "orientation", 8)
    turned = facts(stored, "jpg", Q=90)
    assert (turned.width, turned.height) == (image.width, image.height)
    assert apart(turned, facts(image, "jpg", Q=90)) <= 2


@pytest.mark.parametrize("name", ["png", "jpg", "webp"])
def test_a_picture_of_one_color_is_like_no_other(name: str) -> None:
    plain = (pyvips.Image.black(300, 200, bands=3) + list(RED)).cast("uchar").copy(interpretation="srgb")
    assert facts(plain, name).perceptual_hash is None


def test_a_white_drawing_on_clear_ground_has_a_likeness() -> None:
    ring = pyvips.Image.black(200, 200).draw_circle(255, 120, 90, 50, fill=True)
    white = pyvips.Image.black(200, 200, bands=3).linear(1, 255).cast("uchar").copy(interpretation="srgb")
    assert facts(white.bandjoin(ring)).perceptual_hash is not None


def rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color.removeprefix("#")))


def on_ground(color: tuple[int, int, int], part: float) -> pyvips.Image:
    """Draw a square of one color over gray noise."""
    ground = pyvips.Image.gaussnoise(200, 200, mean=128, sigma=50, seed=7).cast("uchar")
    ground = ground.bandjoin([ground, ground]).copy(interpretation="srgb")
    return ground.draw_rect(list(color), 0, 0, 200, int(200 * part), fill=True)


@pytest.mark.parametrize("color", [RED, GREEN, BLUE, (127, 128, 15), (16, 31, 240)])
@pytest.mark.parametrize("name", ["png", "jpg"])
def test_the_dominant_color_is_the_one_of_most_pixels(color: tuple[int, int, int], name: str) -> None:
    assert near(rgb(facts(on_ground(color, 0.5), name).dominant_color), color, 6)


def test_what_is_clear_has_no_dominant_color() -> None:
    picture = quarters(200, 200)
    left = pyvips.Image.black(200, 200).draw_rect(255, 0, 0, 100, 90, fill=True)
    assert near(rgb(facts(picture.bandjoin(left)).dominant_color), RED, 4)
    assert facts(picture.bandjoin(pyvips.Image.black(200, 200))).dominant_color == ""


def test_colors_are_those_that_are_shown_whatever_the_file_measures_them_in() -> None:
    plain = (pyvips.Image.black(60, 60, bands=3) + list(RED)).cast("uchar").copy(interpretation="srgb")
    for profile in ("p3", "cmyk"):
        changed = plain.icc_transform(profile, input_profile="srgb", depth=8)
        assert near(rgb(facts(changed, "tiff", profile=profile).dominant_color), RED, 14)


@pytest.mark.parametrize("scene", ["mountains", "balloon", "dunes", "aurora"])
def test_a_thumbhash_shows_a_picture_like_the_original(scenes: dict[str, pyvips.Image], scene: str) -> None:
    image = scenes[scene]
    preview = shown(facts(image, "jpg", Q=85).thumbhash)
    coarse = image.thumbnail_image(6, height=6, size="force")
    off = [
        abs(seen - meant)
        for x, y in itertools.product(range(6), range(6))
        for seen, meant in zip(preview.color((x + 0.5) / 6, (y + 0.5) / 6), coarse.getpoint(x, y), strict=False)
    ]
    assert sum(off) / len(off) < 16
    assert not preview.alpha
    assert abs(preview.wide / preview.high - image.width / image.height) < 0.2


def test_a_thumbhash_shows_where_a_picture_is_clear() -> None:
    left = pyvips.Image.black(200, 200).draw_rect(255, 0, 0, 100, 200, fill=True)
    preview = shown(facts(quarters(200, 200).bandjoin(left)).thumbhash)
    assert preview.alpha
    assert preview.color(0.15, 0.5)[3] > 0.8
    assert preview.color(0.85, 0.5)[3] < 0.2


def test_a_thumbhash_has_the_four_colors_in_their_places() -> None:
    preview = shown(facts(quarters()).thumbhash)
    for color, x, y in ((RED, 0.2, 0.2), (GREEN, 0.8, 0.2), (BLUE, 0.2, 0.8), (WHITE, 0.8, 0.8)):
        assert near(preview.color(x, y), color, 60)
