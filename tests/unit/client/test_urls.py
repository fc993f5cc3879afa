"""URLs: the server reads from them what was passed to the builder."""

import pickle
import re
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.client import ImageUrls, Parameters
from imgserve.errors import BadTransform
from imgserve.transform import ParsedQuery, parse_preset, parse_query, verify
from imgserve.web.respond import image_path

IMAGES = ImageUrls("https://img.example.com/img")
IN_PATH = ImageUrls("/img", preset_in_path=True)
CARD = {"card": parse_preset("width=300&height=200&auto=format&enlarge=1")}


def read(url: str) -> tuple[str, ParsedQuery]:
    """Read an address as the server does."""
    parts = urlsplit(url)
    path = image_path({"raw_path": parts.path.encode()}, "/img")
    return path, parse_query(parts.query.encode(), strict=True, presets=CARD)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://img.example.com/img", "https://img.example.com/img/a.jpg"),
        ("https://img.example.com/img/", "https://img.example.com/img/a.jpg"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/a.jpg"),
        ("//cdn.example.com/img", "//cdn.example.com/img/a.jpg"),
        ("/img", "/img/a.jpg"),
        ("/", "/a.jpg"),
        ("", "/a.jpg"),
    ],
)
def test_an_address_begins_with_the_base(base: str, url: str) -> None:
    assert ImageUrls(base).url("a.jpg") == url


@pytest.mark.parametrize(
    "base",
    ["img.example.com", "ftp://a/b", "javascript:alert(1)", "https://a/?q", "https://a/#f", "https://a b/", "/a//b",
     'https://a/"', "https://a/<b>", "/img,", "https://", "\\\\a\\b"],
)  # fmt: skip
def test_an_invalid_base_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match="base: expected an address"):
        ImageUrls(base)


@pytest.mark.parametrize(
    ("image_id", "path"),
    [
        ("products/shoe.jpg", "products/shoe.jpg"),
        ("two words.jpg", "two%20words.jpg"),
        ("Crème.jpg", "Cr%C3%A8me.jpg"),
        ("100%25.jpg", "100%2525.jpg"),
        ("a+b.jpg", "a%2Bb.jpg"),
        ("a?b#c&d=e,f;g:h.jpg", "a%3Fb%23c%26d%3De%2Cf%3Bg%3Ah.jpg"),
        ("products/card", "products/card"),
        ("back\\slash", "back%5Cslash"),
        ("~x-y_z.jpg", "~x-y_z.jpg"),
        ("latin-1 \udce9.jpg", "latin-1%20%E9.jpg"),
        ("new\nline\0", "new%0Aline%00"),
    ],
)
def test_an_image_id_is_encoded_as_the_server_decodes_it(image_id: str, path: str) -> None:
    url = IMAGES.url(image_id, width=9)
    assert url == f"https://img.example.com/img/{path}?width=9"
    assert read(url)[0] == image_id


@pytest.mark.parametrize("image_id", ["", "/a.jpg", "a//b.jpg", "a/", ".", "..", "../api/keys", "a/../b", "a/./b"])
def test_a_path_that_browsers_would_change_is_no_image_id(image_id: str) -> None:
    with pytest.raises(ValueError, match="image id: expected a path"):
        IMAGES.url(image_id)


def test_text_that_cannot_be_encoded_is_no_image_id() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        IMAGES.url("\ud800.jpg")


def test_one_picture_has_one_address() -> None:
    spellings: list[Parameters] = [
        {"width": 400, "height": 300, "format": "webp"},
        {"fm": "webp", "h": 300, "w": "400"},
        {"height": 150, "width": 200, "dpr": 2, "f": "webp", "enlarge": False},
    ]
    assert len({IMAGES.url("a.jpg", **spelling) for spelling in spellings}) == 1


def test_every_mistake_is_reported_without_a_request() -> None:
    wrong: Any = {"widht": 1, "quality": 500}
    with pytest.raises(BadTransform, match=r"widht.*quality"):
        IMAGES.url("a.jpg", **wrong)
    with pytest.raises(BadTransform, match=r"widht.*quality"):
        IMAGES.with_(**wrong)


@pytest.mark.parametrize(
    ("images", "parameters", "end"),
    [
        (IMAGES, {}, "a.jpg?preset=card"),
        (IMAGES, {"width": 6}, "a.jpg?preset=card&width=6"),
        (IMAGES, {"preset": "CARD"}, "a.jpg?preset=card"),
        (IMAGES, {"preset": None}, "a.jpg"),
        (IN_PATH, {}, "a.jpg/card"),
        (IN_PATH, {"enlarge": False}, "a.jpg/card?enlarge=0"),
        (IN_PATH, {"preset": None, "width": 3}, "a.jpg?width=3"),
        (IN_PATH, {"preset": "a/b"}, "a.jpg?preset=a%2Fb"),
        (IN_PATH, {"preset": ".."}, "a.jpg?preset=.."),
    ],
)
def test_a_preset_is_written_in_the_query_or_in_the_path(images: ImageUrls, parameters: Parameters, end: str) -> None:
    assert images.with_(preset="card").url("a.jpg", **parameters) == f"{images.base}/{end}"


def test_defaults_apply_to_all_urls_and_are_overridden() -> None:
    images = IMAGES.with_(quality=60, auto="format").with_(w=400)
    assert images.url("a.jpg").endswith("?auto=format&quality=60&width=400")
    assert images.url("a.jpg", width=500, q=None).endswith("?auto=format&width=500")
    assert images.url("a.jpg", format="webp").endswith("?format=webp&quality=60&width=400")


def test_defaults_may_come_from_a_query() -> None:
    assert IMAGES.with_query("w=400&fm=auto") == IMAGES.with_(width=400, format="auto")


def test_a_builder_is_a_value() -> None:
    one, same = IMAGES.with_(width=400, quality=60), IMAGES.with_(q=60).with_(w=400)
    assert (one, hash(one)) == (same, hash(same))
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301  our own bytes
    assert one != IMAGES
    with pytest.raises(AttributeError):
        one.base = "/img"  # type: ignore[misc]


SECRETS = ["a-secret-of-the-server"]


@pytest.mark.parametrize("base", ["https://img.example.com/img", "//img.example.com/img", "/img", ""])
@pytest.mark.parametrize("expires", [None, 1_893_456_000])
def test_every_url_is_signed(base: str, expires: int | None) -> None:
    images = ImageUrls(base, secret=SECRETS[0], expires=expires).with_(quality=60)
    written = [
        images.url("Crème (1).jpg"),
        images.srcset("a.jpg", widths=(100, 200)),
        unescape(images.picture("a.jpg", alt="", width=400, densities=(1, 2))),
        replace(images, preset_in_path=True).url("a.jpg", preset="card"),
    ]
    urls = re.findall(rf"{base}/[^\s\",]*jpg[^\s\",]*", " ".join(written))
    assert len(urls) == 1 + 2 + 2 * 2 + 3 + 1
    for url in urls:
        parts = urlsplit(url)
        verified = verify(SECRETS, parts.path.encode(), parts.query.encode())
        assert verified is not None
        assert verified.expires == expires
        assert b"quality=60" in verified.query


def test_a_secret_is_not_shown_and_only_signed_urls_expire() -> None:
    assert SECRETS[0] not in repr(ImageUrls("/img", secret=SECRETS[0]))
    with pytest.raises(ValueError, match="expires: expected a secret as well"):
        ImageUrls("/img", expires=1_893_456_000)


IDS = st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=4).map(
    lambda parts: b"/".join(part.replace(b"/", b"_") for part in parts).decode("utf-8", "surrogateescape")
)


@given(IDS.filter(lambda name: {"", ".", ".."}.isdisjoint(name.split("/"))))
def test_the_server_reads_the_image_id_that_the_url_was_built_for(image_id: str) -> None:
    url = IMAGES.url(image_id, width=5)
    assert url.isascii()
    assert url.isprintable()
    assert not {" ", '"', "<", ">", "\\"} & set(url)
    path, request = read(url)
    assert (path, request.transform.width) == (image_id, 5)
