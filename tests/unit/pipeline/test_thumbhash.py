"""ThumbHash, beside what the reference implementation in JavaScript (0.1.1) makes of the same pixels."""

from collections.abc import Callable

import pytest

from imgserve.pipeline.perceptual import thumbhash_of

Paint = Callable[[int, int], tuple[int, int, int, int]]

VECTORS: dict[str, tuple[int, int, Paint, str]] = {
    "even gradients": (32, 24, lambda x, y: (x * 8, y * 10, 128, 255), "9e170a359a7077877088888788788787707008f788"),
    "tall, clear on top": (
        20, 50, lambda x, y: (x * 12, 200 - y * 4, y * 5, min(255, y * 6)),
        "dd5586320e3870b6887888849f0237bb78788088877878",
    ),
    "quarters": (
        16, 16, lambda x, y: (255 * (x > 7), 255 * (y > 7), 90, 255),
        "1c090e5728707a768078788888a887888876070777708f08",
    ),
    "very wide": (90, 10, lambda x, y: (x * 2, 255 - x, y * 20, 255), "e00909519c84778780888888868f088888"),
    "all clear": (8, 8, lambda _x, _y: (200, 100, 50, 0), "00088205000000000000000000000000000000000000000000"),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
def test_a_hash_is_the_one_that_the_reference_makes(name: str) -> None:
    width, height, paint, expected = VECTORS[name]
    rgba = bytes(part for y in range(height) for x in range(width) for part in paint(x, y))
    made = thumbhash_of(width, height, rgba).hex()
    # Head, shape and constants are equal. A wave of nothing lies on the border between seven and eight of fifteen: the
    # order of summing decides.
    assert made[:10] == expected[:10]
    assert len(made) == len(expected)
    assert max(abs(int(one, 16) - int(other, 16)) for one, other in zip(made, expected, strict=True)) <= 1


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 100), (100, 1), (2, 3)])
@pytest.mark.parametrize("alpha", [255, 128, 0])
def test_the_smallest_pictures_have_a_hash(width: int, height: int, alpha: int) -> None:
    made = thumbhash_of(width, height, bytes([10, 200, 30, alpha]) * (width * height))
    assert 10 <= len(made) <= 25
    assert bool(made[2] & 0x80) is (alpha < 255)
    assert bool(made[4] & 0x80) is (width > height)
