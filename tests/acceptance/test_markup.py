"""Documents that show a picture on a web page: every URL in them is served, and nothing in them is markup of others."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx2
import pytest

from tests.management import KEY, Api, managed
from tests.pictures import encoded, noise, opened
from tests.servers import settled, until

CONFIG = """
urls: {public: "https://img.example.com/"}
presets: {card: {width: 50, height: 40}, dense: {width: 50, height: 40, dpr: 2}, id: {width: 60, locked: true}}
signing: {secrets: [0123456789abcdef0123456789abcdef]}
sites:
  signed: {folder: signed, rules: {require: either}}
  few: {folder: few, rules: {presets_only: true}}
  listed: {folder: listed, rules: {sizes: [100, 200, 300], reject_unlisted: true, formats: [webp]}}
"""
NAME = 'open/a "b" <i>&amp; ü.jpg'
START = "https://img.example.com/img/"


class Tags(HTMLParser):
    """The elements of a piece of markup, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found = list[tuple[str, dict[str, str]]]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder, config = tmp_path_factory.mktemp("originals"), tmp_path_factory.mktemp("config") / "config.yaml"
    for name in (NAME, "signed/a.jpg", "few/a.jpg", "listed/a.jpg"):
        settled(folder / name, encoded(noise(400, 300), "jpg"))
    config.write_text(CONFIG)
    config.chmod(0o600)
    with managed(folder, "--config", config) as an_api:
        until(lambda: len(an_api.every_id()) == 4)
        alt = {"alt": '"><script>alert(1)</script>'}
        assert an_api.ask("PATCH", "/api/images/open/a%20%22b%22%20%3Ci%3E%26amp%3B%20%C3%BC.jpg", json=alt).is_success
        yield an_api


def read(api: Api, target: str, **headers: str) -> httpx2.Response:
    answer = api.served.client.get(f"{api.served.base_url}/img/{target}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer


def width(api: Api, url: str) -> int:
    return int(opened(read(api, url.removeprefix(START)).content).width)


PATH = "open/a%20%22b%22%20%3Ci%3E%26amp%3B%20%C3%BC.jpg"


def test_an_img_has_the_size_the_text_and_candidates_that_are_served(api: Api) -> None:
    answer = read(api, f"{PATH}?width=200&format=img&utm_source=x")
    assert answer.headers["content-type"].startswith("text/plain")
    [(tag, found)] = Tags(answer.text).found
    assert (tag, found["width"], found["height"], found["alt"]) == ("img", "200", "150", '"><script>alert(1)</script>')
    assert re.fullmatch("background-color:#[0-9a-f]{6}", found["style"])
    candidates = [one.split() for one in found["srcset"].split(", ")]
    assert [descriptor for _, descriptor in candidates] == ["100w", "200w", "400w"]
    assert [f"{width(api, url)}w" for url, _ in candidates] == ["100w", "200w", "400w"]
    assert width(api, found["src"]) == 400
    assert "utm" not in answer.text


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("width=100&dpr=2", ("100", "75")),
        ("width=100&height=50&dpr=0.5", ("100", "50")),
        ("height=150&dpr=1.5", ("200", "150")),
        ("width=0.5&dpr=2", ("200", "150")),
        ("width=300&dpr=2", ("300", "225")),  # the original is not enlarged
        ("preset=dense", ("50", "40")),
        ("preset=dense&dpr=1", ("50", "40")),
        ("width=10&dpr=9", ("10", "8")),
    ],
)
def test_an_img_has_its_size_in_the_pixels_of_the_page(api: Api, query: str, size: tuple[str, str]) -> None:
    [(_, found)] = Tags(read(api, f"{PATH}?{query}&format=img").text).found
    assert (found["width"], found["height"]) == size


def test_a_picture_offers_modern_formats(api: Api) -> None:
    found = Tags(read(api, f"{PATH}?rotate=90&then&w=60&dl=x&format=picture").text).found
    assert [tag for tag, _ in found] == ["picture", "source", "source", "img"]
    for tag, attributes in found[1:3]:
        first = attributes["srcset"].split()[0]
        assert tag == "source"
        assert "?rotate=90&then&format=" in first
        assert read(api, first.removeprefix(START)).headers["content-type"] == attributes["type"]
    assert (found[3][1]["width"], found[3][1]["height"]) == ("60", "80")


def test_a_srcset_is_text_or_json(api: Api) -> None:
    answer = read(api, f"{PATH}?format=srcset&auto=format")
    lines = answer.text.strip().split(",\n")
    assert [line.split()[1] for line in lines] == ["320w", "400w"]
    assert all("auto=format" in line for line in lines)
    listed = read(api, f"{PATH}?format=srcset&auto=format", accept="application/json")
    assert [f"{one['url']} {one['descriptor']}" for one in listed.json()] == lines
    assert "Accept" in listed.headers["vary"]
    assert listed.headers["etag"] != answer.headers["etag"]


@pytest.mark.parametrize(
    ("target", "urls"),
    [
        (f"{PATH}/card?format=srcset", [f"{PATH}?preset=card", f"{PATH}?dpr=2&preset=card"]),
        (f"{PATH}?preset=id&format=srcset", [f"{PATH}?preset=id"]),
        ("few/a.jpg/card?format=srcset", None),
        ("listed/a.jpg?format=srcset", [f"listed/a.jpg?width={size}" for size in (100, 200, 300)]),
    ],
)
def test_only_what_urls_may_request_is_offered(api: Api, target: str, urls: list[str] | None) -> None:
    text = read(api, target.replace("format=srcset", "") if urls is None else target)
    if urls is not None:
        found = [one.split()[0] for one in text.text.strip().split(",\n")]
        assert found == [START + url for url in urls]
        for url in found:
            assert read(api, url.removeprefix(START)).headers["content-type"] == "image/jpeg"


def test_formats_that_are_not_allowed_are_not_offered(api: Api) -> None:
    found = Tags(read(api, "listed/a.jpg?format=picture").text).found
    assert [attributes.get("type") for tag, attributes in found if tag == "source"] == ["image/webp"]


def test_only_callers_that_may_sign_receive_signed_urls(api: Api) -> None:
    target = "signed/a.jpg?w=100&format=srcset"
    assert api.picture(target).status_code == 401
    answer = read(api, target, authorization=f"Bearer {KEY}")
    assert answer.headers["cache-control"].startswith("private")
    for line in answer.text.strip().split(",\n"):
        url = line.split()[0].removeprefix(START)
        assert "signature=" in url
        assert api.picture(url).status_code == 200
        assert api.picture(url.replace("width=", "width=1")).status_code == 403
