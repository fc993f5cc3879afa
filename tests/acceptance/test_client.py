"""The client library with a running server: every URL that it builds returns what it promises."""

import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from imgserve.client import ImageUrls, width_ladder
from tests.pictures import encoded, opened, quarters
from tests.servers import Server, imgserve, server, settled

SIZES = {"large.png": (2000, 1500), "phone.jpg": (1200, 2400), "shoe.jpg": (400, 300)}
NAMES = ["two words.jpg", "Crème/100%25.jpg", "a+b?c#d&e.jpg", "card", os.fsdecode(b"latin-1 \xe9.jpg"), 'it\'s "x", y']


def images(served: Server) -> ImageUrls:
    return ImageUrls(f"{served.base_url}/img")


def offered(srcset: str) -> list[tuple[str, int]]:
    """Split a srcset into addresses and promised widths."""
    parts = [part.split(" ") for part in srcset.split(", ")]
    return [(url, int(descriptor.removesuffix("w"))) for url, descriptor in parts]


class Offers(HTMLParser):
    """Collects the addresses of each element, with the media type that it promises."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None, int]] = []
        self.feed(markup)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.found += [(url, named.get("type"), width) for url, width in offered(named.get("srcset") or "x 0")]


def width_of(served: Server, url: str) -> int:
    answer = served.client.get(url)
    assert answer.status_code == 200, answer.text
    assert "x-image-adjusted" not in answer.headers
    return int(opened(answer.content).width)


@pytest.mark.parametrize("image_id", SIZES)
@pytest.mark.parametrize(
    "parameters", [{}, {"aspect": "16:9"}, {"aspect": "1:2", "format": "webp"}, {"aspect": "2:1", "fit": "fill"},
                   {"rotate": 90}, {"rect": (0.25, 0.25, 0.5, 0.5)}],
    ids=str,
)  # fmt: skip
def test_every_picture_of_a_srcset_is_as_wide_as_promised(
    site: Server, image_id: str, parameters: dict[str, Any]
) -> None:
    width, height = SIZES[image_id]
    ladder = width_ladder(150, 3000, tolerance=0.5)
    srcset = images(site).srcset(image_id, widths=ladder, original_width=width, original_height=height, **parameters)
    assert [width_of(site, url) for url, _ in offered(srcset)] == [promised for _, promised in offered(srcset)]


def test_every_picture_of_a_preset_is_as_wide_as_promised(site: Server) -> None:
    srcset = images(site).srcset("large.png", widths=(100, 300), preset="card")
    assert [width_of(site, url) for url, _ in offered(srcset)] == [100, 300]


def test_every_density_has_its_pixels(site: Server) -> None:
    srcset = images(site).srcset("shoe.jpg", width=160, densities=(1, 2, 3), original_width=400)
    urls = [part.split(" ") for part in srcset.split(", ")]
    assert [(width_of(site, url), density) for url, density in urls] == [(160, "1x"), (320, "2x"), (400, "2.5x")]


def test_every_source_of_a_picture_has_its_media_type(site: Server) -> None:
    markup = images(site).picture("shoe.jpg", alt="", widths=(80, 160), format="jpg")
    found = Offers(markup).found[1:]
    answers = [site.client.get(url) for url, _, _ in found]
    assert [answer.headers["content-type"] for answer in answers] == [kind or "image/jpeg" for _, kind, _ in found]
    assert [opened(answer.content).width for answer in answers] == [width for _, _, width in found]
    assert {kind for _, kind, _ in found} == {"image/avif", "image/webp", None}


def test_an_image_of_any_name_is_found_and_a_preset_behind_it_applied(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("presets: {card: {width: 20, height: 20}}\n")
    for name in NAMES:
        settled(tmp_path / "originals" / name, encoded(quarters(40, 30), "jpg"))
    with server(tmp_path / "originals", "--config", tmp_path / "config.yaml") as served:
        urls = [
            builder.url(name, preset="card")
            for builder in (images(served), ImageUrls(f"{served.base_url}/img", preset_in_path=True))
            for name in NAMES
        ]
        statuses = [served.get_exactly(url.removeprefix(served.base_url)) for url in urls]
    assert [(answer.status, opened(answer.body).width) for answer in statuses] == [(200, 20)] * len(urls)


def test_a_download_has_its_name(site: Server) -> None:
    answer = site.client.get(images(site).url("shoe.jpg", width=9, download="Schuh, grün.jpg"))
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "Schuh%2C%20gr%C3%BCn.jpg" in answer.headers["content-disposition"]


def test_the_command_prints_an_address_that_is_answered(site: Server, tmp_path: Path) -> None:
    done = imgserve("url", f"{site.base_url}/img/", "shoe.jpg", "w=80&fm=auto&enlarge=0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{site.base_url}/img/shoe.jpg?auto=format&width=80\n")
    assert width_of(site, done.stdout.strip()) == 80


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("/img", "a b.jpg", "preset=card"), 0, "/img/a%20b.jpg?preset=card\n"),
        (("--preset-in-path", "/img", "a b.jpg", "preset=card&w=3"), 0, "/img/a%20b.jpg/card?width=3\n"),
        (("/img", "a.jpg", "widht=3"), 1, 'imgserve: unknown parameter "widht", did you mean "width"?\n'),
        (("/img?", "a.jpg"), 2, "base: expected an address"),
        (("/img", "../a.jpg"), 2, "image id: expected a path"),
    ],
)
def test_the_command_prints_urls_and_mistakes(
    tmp_path: Path, arguments: tuple[str, ...], status: int, message: str
) -> None:
    done = imgserve("url", *arguments, cwd=tmp_path)
    assert done.returncode == status
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
