"""Placeholder pictures: an SVG of any size, with colors and a text."""

import pytest
import pyvips

from imgserve.errors import BadTransform, ImageNotFound
from imgserve.http.headers import CachePolicy
from imgserve.web.placeholder import placeholder
from imgserve.web.respond import Delivery
from tests.pictures import color_at, near, opened

SCOPE = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
DELIVERY = Delivery(CachePolicy(60), ("Origin",))


def svg(path: str, query: str = "", most: int = 8192) -> bytes | None:
    made = placeholder(path, query.encode(), SCOPE, DELIVERY, most)
    return None if made is None else bytes(made.body)


@pytest.mark.parametrize(
    ("query", "corners"),
    [
        ("text=", [(204, 204, 204), (204, 204, 204)]),
        ("bg=0000ff&text", [(0, 0, 255), (0, 0, 255)]),
        ("background=red,00f&text=", [(253, 0, 2), (2, 0, 253)]),
    ],
)
def test_a_placeholder_has_the_size_and_the_colors(query: str, corners: list[tuple[int, int, int]]) -> None:
    picture = opened(svg("placeholder/320x180", query) or b"")
    assert (picture.width, picture.height) == (320, 180)
    for (x, y), color in zip(((0, 0), (1, 1)), corners, strict=True):
        assert near(color_at(picture, x, y)[:3], color)


def test_its_text_is_its_size_and_never_markup() -> None:
    plain, empty = (opened(svg("placeholder/320x180.svg", query) or b"") for query in ("", "text="))
    assert (plain - empty).abs().max() > 50
    text = (svg("placeholder/320x180", "text=%3C/text%3E%3Cscript%3Ealert(1)%3C/script%3E%26%22") or b"").decode()
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    pyvips.Image.svgload_buffer(text.encode())


def test_it_is_delivered_as_a_picture_that_can_do_nothing() -> None:
    made = placeholder("placeholder/2x1", b"", SCOPE, DELIVERY, 8192)
    assert made is not None
    assert (made.media_type, made.headers["cache-control"]) == ("image/svg+xml", "max-age=60")
    assert "sandbox" in made.headers["content-security-policy"]
    assert "Origin" in made.headers["vary"]


@pytest.mark.parametrize("path", ["placeholder/0x5", "placeholder/5", "placeholder/1x1x1", "a/placeholder/5x5", "5x5"])
def test_other_paths_are_none(path: str) -> None:
    assert svg(path) is None


def test_mistakes_are_listed() -> None:
    with pytest.raises(BadTransform) as caught:
        svg("placeholder/5x5", f"bg=red,green,blue&color=nocolor&text={'x' * 101}")
    assert [mistake.partition(":")[0] for mistake in caught.value.mistakes] == ["background", "color", "text"]
    with pytest.raises(BadTransform):
        svg("placeholder/5x5", "text=%00")
    with pytest.raises(ImageNotFound):
        svg("placeholder/99999x5")
