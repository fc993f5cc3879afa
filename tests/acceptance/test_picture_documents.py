"""Documents about pictures at their URLs: for whoever may see the picture, cached as it is, and never rendered."""

import base64
from collections.abc import Iterator

import pytest

from tests.pictures import BLUE, RED, animation, encoded, noise, quarters
from tests.servers import Server, server, settled

PHOTO = "/img/a/photo.jpg"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("originals")
    settled(place / "a" / "photo.jpg", encoded(noise(900, 600), "jpg"))
    settled(place / "flag.png", encoded(quarters(60, 60).extract_area(0, 0, 30, 60), "png"))
    settled(place / "moving.gif", animation([RED, BLUE]))
    settled(place / "broken.jpg", encoded(noise(90, 60), "jpg")[:200])
    config = place / ".imgserve.yaml"
    config.write_text("presets: {card: width=20&height=40, default: width=300}\n")
    with server(place, "--config", config) as a_server:
        yield a_server
        assert a_server.figure("imgserve_renders_total") == 0


def test_json_has_the_facts_and_the_size_of_the_rendition(served: Server) -> None:
    answer = served.get(f"{PHOTO}?format=json&width=90&rotate=90&download=x")
    assert answer.headers["content-type"] == "application/json"
    facts = answer.json()
    assert facts.items() >= {
        "id": "a/photo.jpg", "format": "jpg", "media_type": "image/jpeg", "width": 900, "height": 600,
        "orientation": 1, "frames": 1, "alpha": False, "title": "", "alt": "", "focal_point": None, "metadata": {},
    }.items()  # fmt: skip
    assert facts["rendition"] == {"format": "jpg", "media_type": "image/jpeg", "width": 90, "height": 135}
    assert len(base64.b64decode(facts["thumbhash"])) > 5
    assert facts["palette"][0] == facts["dominant_color"]


@pytest.mark.parametrize(
    ("target", "rendition"),
    [
        (f"{PHOTO}?fm=json", ("jpg", 300, 200)),
        (f"{PHOTO}/card?fm=json", ("jpg", 20, 40)),
        ("/img/a/photo.png?fm=json&w=90&h=90", ("png", 90, 90)),
        (f"{PHOTO}?fm=json&auto=format&w=90", ("webp", 90, 60)),
        ("/img/moving.gif?fm=json&w=2", ("gif", 2, 2)),
    ],
)
def test_the_rendition_is_the_one_that_the_url_requests(
    served: Server, target: str, rendition: tuple[str, int, int]
) -> None:
    made = served.get(target, accept="image/webp,*/*").json()["rendition"]
    assert (made["format"], made["width"], made["height"]) == rendition


def test_a_document_is_cached_and_embedded_as_the_picture_is(served: Server) -> None:
    answer = served.get(f"{PHOTO}?fm=json&auto=format&widht=3")
    for name in ("access-control-allow-origin", "cross-origin-resource-policy", "content-security-policy"):
        assert answer.headers[name]
    assert answer.headers["cache-control"].startswith("max-age=")
    assert answer.headers["cache-tag"]
    assert "Accept" in set(answer.headers["vary"].split(", "))
    assert answer.headers["x-image-ignored"] == "widht (width?)"
    again = served.get(f"{PHOTO}?fm=json&auto=format&widht=3", if_none_match=answer.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert served.ask("HEAD", f"{PHOTO}?fm=json").content == b""


@pytest.mark.parametrize("name", ["thumbhash", "blurhash"])
def test_a_placeholder_is_text(served: Server, name: str) -> None:
    answer = served.get(f"{PHOTO}?fm={name}")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == served.get(f"{PHOTO}?fm=json").json()[name]


def test_the_colors_are_json_and_a_style_sheet(served: Server) -> None:
    colors = served.get("/img/flag.png?palette=json").json()
    assert [(color["hex"], round(color["red"], 2)) for color in colors["colors"]][:2] == [
        ("#dc1e1e", 0.86),
        ("#1e1edc", 0.12),
    ]
    assert colors["dominant_colors"]["vibrant"]["hex"] == "#dc1e1e"
    assert len(served.get("/img/a/photo.jpg?palette=json&colors=3").json()["colors"]) == 3
    sheet = served.get("/img/flag.png?palette=css&prefix=flag")
    assert sheet.headers["content-type"] == "text/css; charset=utf-8"
    assert ".flag-fg-1 { color: #dc1e1e !important; }\n" in sheet.text
    assert ".flag-bg-vibrant { background-color: #dc1e1e !important; }\n" in sheet.text
    assert served.get("/img/flag.png?palette=css&prefix=a{}").status_code == 400


def test_an_explanation_says_what_a_url_means(served: Server) -> None:
    query = "auto=format&w=90&q=70&chroma=444&colors=8&widht=3&explain=1"
    answer = served.get(f"{PHOTO}/card?{query}", accept="image/avif,image/webp,*/*")
    assert (answer.headers["cache-control"], answer.status_code) == ("private, no-store", 200)
    told = answer.json()
    assert told["original"].items() >= {"id": "a/photo.jpg", "width": 900, "height": 600, "format": "jpg"}.items()
    assert told["parameters"]["width"] == {"value": "90", "origin": "query"}
    assert told["parameters"]["height"] == {"value": "40", "origin": "preset"}
    assert told["without_effect"] == ["colors"]
    assert told["ignored"] == ["widht (width?)"]
    assert told["format"] == {
        "name": "avif", "accepted": ["avif", "webp"], "decided_by": "accept", "dropped": {},
    }  # fmt: skip
    assert told["canonical"] == "chroma=444&format=avif&height=40&quality=70&width=90"
    assert told["plan"]["size"] == {"width": 90, "height": 40}
    assert (told["source"], told["cached"]) == ({"kind": "original"}, [])
    assert told["cost"]["encode_megapixels"] == 0.0036
    assert "originals" not in answer.text  # the name of the folder
    plain = served.get(f"{PHOTO}?explain=1").json()
    assert (plain["preset"], plain["parameters"]["quality"]) == ("default", {"value": "80", "origin": "server"})
    assert plain["format"]["decided_by"] == "original"
    assert served.get("/img/a/photo.png?explain=1").json()["format"]["decided_by"] == "path"
    best = served.get(f"{PHOTO}?auto=best&explain=1", accept="image/webp").json()
    assert best["format"].items() >= {"decided_by": "size", "candidates": ["jpg", "webp"]}.items()
    assert best["key"]["extension"] == "best"
    moving = served.get("/img/moving.gif?auto=format&explain=1", accept="image/avif").json()
    assert moving["format"]["dropped"] == {"avif": "avif has no animation"}


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/img/none.jpg?fm=json", 404, "image_not_found"),
        ("/img/broken.jpg?fm=json", 422, "unreadable_image"),
        (f"{PHOTO}?fm=json&w=x", 400, "bad_transform"),
        (f"{PHOTO}?fm=json&rect=2000,1,9,9", 400, "bad_transform"),
    ],
)
def test_what_has_no_picture_has_no_document(served: Server, target: str, status: int, code: str) -> None:
    answer = served.get(target)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
