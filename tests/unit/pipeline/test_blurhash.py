"""BlurHash against the reference encoder."""

import random

import pytest
import pyvips

from imgserve.pipeline.blurhash import blurhash, blurhash_of
from imgserve.pipeline.perceptual import as_picture

# Of the reference implementation in C for the same pixels, with 4 x 3 components, or 3 x 4 of a portrait.
REFERENCE = {
    (32, 24): "LuHC4a00t7t6oyWBj@jbbFjba{ju",
    (24, 32): "TvHLo900t7ozWBkCf7fkjZofWBju",
    (7, 5): "LlGSJw00R*%M%gM{bFs;WXj@fkjG",
    (1, 1): "L10cx[y,y,y,y,y,y,y,y,y,y,y,",
    (32, 1): "L~HB}C9Foboh~q9Foboh~q9Foboh",
}


@pytest.mark.parametrize("size", REFERENCE)
def test_the_hash_is_that_of_the_reference(size: tuple[int, int]) -> None:
    (width, height), draw = size, random.Random(size[0])
    pixels = bytes(
        (int(255 * x / width) + draw.randrange(20)) % 256 for _ in range(height) for x in range(width) for _ in range(3)
    )
    assert blurhash_of(width, height, pixels) == REFERENCE[size]


def test_a_transparent_or_gray_picture_has_a_hash() -> None:
    gray = pyvips.Image.black(200, 3).copy(interpretation="b-w")
    assert blurhash(as_picture(gray)) == blurhash_of(32, 1, bytes(3 * 32))
    clear = pyvips.Image.black(40, 40, bands=4).copy(interpretation="srgb")
    assert blurhash(as_picture(clear)) == blurhash_of(32, 32, b"\xff" * 3 * 32 * 32)
