"""HTML as a browser reads it: every attribute has the value that was passed."""

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.client import Html, ImageUrls
from imgserve.client.urls import element
from imgserve.errors import BadTransform

IMAGES = ImageUrls("/img")
Tag = tuple[str, dict[str, str | None]]


class Reader(HTMLParser):
    """Collects start tags; fails on one attribute twice and on text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[Tag] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        raise AssertionError(data)


def read(markup: str) -> list[Tag]:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader.tags


def attributes(markup: str) -> dict[str, str | None]:
    [(tag, found)] = read(markup)
    assert tag == "img"
    return found


def test_an_image_of_one_size_has_its_width_and_height() -> None:
    assert attributes(IMAGES.img("a b.jpg", alt='A "shoe" & <more>', width=400, height=300)) == {
        "width": "400",
        "height": "300",
        "alt": 'A "shoe" & <more>',
        "loading": "lazy",
        "decoding": "async",
        "src": "/img/a%20b.jpg?height=300&width=400",
    }


def test_an_image_of_several_widths_has_the_proportions_of_its_original() -> None:
    found = attributes(
        IMAGES.img("a.jpg", alt="", widths=(300, 600), sizes="50vw", original_width=3000, original_height=2000)
    )
    assert (found["width"], found["height"], found["alt"]) == ("600", "400", "")
    assert (found["sizes"], found["src"]) == ("50vw", "/img/a.jpg?width=600")
    assert found["srcset"] == "/img/a.jpg?width=300 300w, /img/a.jpg?width=600 600w"


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ({"width": 400}, (None, None)),
        ({"width": 400, "original_width": 800, "original_height": 600}, ("400", "300")),
        ({"width": 400, "original_width": 200, "original_height": 150}, ("200", "150")),
        ({"width": 400, "aspect": "2:1"}, ("400", "200")),
        ({"width": 400, "height": 300, "fit": "max"}, (None, None)),
        ({"width": 400, "height": 300, "dpr": 2}, ("400", "300")),
        ({"width": 400, "height": 300, "densities": (1, 2)}, ("400", "300")),
        ({"widths": (200, 400), "aspect": "2:1"}, ("400", "200")),
        ({"preset": "card", "width": 400, "height": 300}, (None, None)),
        # The server's default preset decides.
        ({"original_width": 800, "original_height": 600}, (None, None)),
        ({"original_width": 800, "original_height": 600, "format": "webp"}, ("800", "600")),
    ],
)
def test_width_and_height_are_written_if_both_are_known(
    arguments: dict[str, Any], size: tuple[str | None, str | None]
) -> None:
    found = attributes(IMAGES.img("a.jpg", alt="", **arguments))
    assert (found.get("width"), found.get("height")) == size


def test_the_url_follows_the_attributes_that_a_browser_chooses_it_by() -> None:
    found = list(attributes(IMAGES.img("a.jpg", alt="", widths=(1, 2), sizes="auto", attributes={"class": "x"})))
    assert found[-3:] == ["sizes", "srcset", "src"]


def test_further_attributes_override_the_builders_own() -> None:
    further: dict[str, str | int | float | bool | None] = {
        "class": "a b", "Loading": "eager", "decoding": None, "data-n": 5, "hidden": True, "inert": False, "src": "x"
    }  # fmt: skip
    found = attributes(IMAGES.img("a.jpg", alt="A", width=9, attributes=further))
    assert found == {"alt": "A", "loading": "eager", "class": "a b", "data-n": "5", "hidden": None,
                     "src": "/img/a.jpg?width=9"}  # fmt: skip


@pytest.mark.parametrize("name", ["", "a b", "on>", 'a"', "a=b", "a/b", "a\0", "\n"])
def test_an_invalid_name_of_an_attribute_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the name of an attribute"):
        IMAGES.img("a.jpg", alt="", attributes={name: "x"})


def test_a_picture_offers_each_format_and_falls_back_to_an_image() -> None:
    images = IMAGES.with_(auto="format")
    tags = read(images.picture("a.jpg", alt="A", widths=(300, 600), sizes="50vw", aspect="2:1"))
    assert [tag for tag, _ in tags] == ["picture", "source", "source", "img"]
    assert tags[1][1] == {
        "type": "image/avif",
        "sizes": "50vw",
        "srcset": "/img/a.jpg?aspect=2:1&format=avif&width=300 300w, /img/a.jpg?aspect=2:1&format=avif&width=600 600w",
    }
    assert tags[2][1]["type"] == "image/webp"
    assert tags[3][1]["src"] == "/img/a.jpg?aspect=2:1&auto=format&width=600"
    assert (tags[3][1]["width"], tags[3][1]["height"], tags[3][1]["alt"]) == ("600", "300", "A")


def test_a_picture_of_one_size_has_one_address_a_format() -> None:
    tags = read(IMAGES.picture("a.jpg", alt="", formats=["webp"], width=40, format="jpg"))
    assert tags[1][1] == {"type": "image/webp", "srcset": "/img/a.jpg?format=webp&width=40"}
    assert tags[2][1]["src"] == "/img/a.jpg?format=jpg&width=40"


def test_a_picture_of_several_densities_offers_them_in_each_format() -> None:
    tags = read(IMAGES.picture("a.jpg", alt="", formats=["jpeg"], width=40, densities=(1, 2)))
    assert tags[1][1]["type"] == "image/jpeg"
    assert tags[1][1]["srcset"] == "/img/a.jpg?format=jpg&width=40 1x, /img/a.jpg?format=jpg&width=80 2x"


@pytest.mark.parametrize(("name", "error"), [("auto", ValueError), ("png8", ValueError), ("heic", BadTransform)])
def test_a_source_needs_a_format_that_is_written(name: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="format"):
        IMAGES.picture("a.jpg", alt="", formats=[name], width=4)


def test_markup_is_safe_for_templates_until_it_is_joined_to_text() -> None:
    markup = IMAGES.img("a.jpg", alt="<", width=4)
    assert isinstance(markup, Html)
    assert markup.__html__() == str(markup) == markup
    assert type(markup.__html__()) is str
    assert not hasattr(markup + "<script>", "__html__")


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9:_-]{0,8}", fullmatch=True), st.text(), max_size=6))
def test_any_text_comes_back_from_an_attribute(given_attributes: dict[str, str]) -> None:
    [(tag, found)] = read(element("img", given_attributes))
    assert (tag, found) == ("img", given_attributes)
