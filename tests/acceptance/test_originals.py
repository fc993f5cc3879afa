"""Untouched originals at the URLs of pictures: off by default, exact, harmless, never rendered or cached."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.pictures import BLUE, RED, animation, encoded, noise, quarters
from tests.servers import Server, server, settled

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'
FILES = {
    "a/photo.jpg": (encoded(noise(900, 900), "jpg"), "image/jpeg"),
    "moving.gif": (animation([RED, BLUE]), "image/gif"),
    "logo.svg": (SVG, "image/svg+xml"),
    "really-png.jpg": (encoded(quarters(), "png"), "image/png"),
}
PHOTO, JPG = "/img/a/photo.jpg?format=original", FILES["a/photo.jpg"][0]
ON = {"IMGSERVE_URLS__ORIGINALS": "true"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("originals")
    for name, (data, _) in FILES.items():
        settled(place / name, data)
    return place


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Server]:
    config = folder / ".imgserve.yaml"
    config.write_text("presets: {card: width=20, default: width=30}\n")
    with server(folder, "--config", config, env=ON) as a_server:
        yield a_server


def code(answer: httpx2.Response) -> str:
    return str(answer.json()["code"])


@pytest.mark.parametrize("name", FILES)
def test_the_bytes_are_those_of_the_file(served: Server, name: str) -> None:
    data, media_type = FILES[name]
    for query in ("format=original", "fm=original", "FORMAT=original&"):
        answer = served.get(f"/img/{name}?{query}")
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, data, media_type)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].endswith("sandbox")
    assert answer.headers["content-disposition"].startswith("inline")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == served.get(f"/img/{name}?w=9").headers["cache-control"]
    assert answer.headers["cache-tag"] == served.get(f"/img/{name}?w=9").headers["cache-tag"]


def test_conditions_and_ranges_hold(served: Server) -> None:
    whole = served.get(PHOTO)
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    head = served.ask("HEAD", PHOTO)
    assert (head.content, head.headers["content-length"], head.headers["etag"]) == (b"", str(len(JPG)), etag)
    for conditions in ({"if_none_match": etag}, {"if_none_match": f"W/{etag}"}, {"if_modified_since": modified}):
        answer = served.get(PHOTO, **conditions)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert answer.headers["cache-control"] == whole.headers["cache-control"]
    for conditions in ({}, {"if_range": etag}, {"if_range": modified}, {"if_match": etag}):
        answer = served.get(PHOTO, range="bytes=10-19", **conditions)
        assert (answer.status_code, answer.content) == (206, JPG[10:20])
        assert answer.headers["content-range"] == f"bytes 10-19/{len(JPG)}"
    assert served.get(PHOTO, range="bytes=-7").content == JPG[-7:]
    assert served.get(PHOTO, range="bytes=10-19", if_range='"other"').content == JPG
    assert served.get(PHOTO, range=f"bytes={len(JPG)}-").status_code == 416
    assert served.get(PHOTO, if_match='"other"').status_code == 412


@pytest.mark.parametrize(
    "target",
    [
        "a/photo.jpg?format=original&w=9",
        "a/photo.jpg?format=original&format=webp",
        "a/photo.jpg?format=original&download=x.jpg",
        "a/photo.jpg?format=original&preset=card",
        "a/photo.jpg?format=original&unknown=1",
        "a/photo.jpg/card?format=original",
        "a/photo.webp?format=original",
    ],
)
def test_an_original_is_requested_alone(served: Server, target: str) -> None:
    answer = served.get(f"/img/{target}")
    assert (answer.status_code, code(answer)) == (400, "bad_transform")


def test_there_is_no_original_of_what_is_no_image(served: Server) -> None:
    assert served.get("/img/none.jpg?format=original").status_code == 404
    assert served.get("/img/.imgserve.yaml?format=original").status_code == 404


def test_nothing_is_rendered_or_stored_and_a_new_file_is_served(folder: Path) -> None:
    settled(folder / "new.png", FILES["really-png.jpg"][0])
    with server(folder, env=ON) as served:
        first = served.get("/img/new.png?format=original")
        assert served.get("/img/new.png?format=original", if_none_match=first.headers["etag"]).status_code == 304
        data = encoded(noise(50, 50), "png")
        (folder / "new.png").write_bytes(data)
        answer = served.get("/img/new.png?format=original")
        while answer.content != data:
            assert answer.headers["etag"] == first.headers["etag"]
            answer = served.get("/img/new.png?format=original")
        assert (answer.headers["cache-control"], answer.headers["etag"] != first.headers["etag"]) == ("max-age=0", True)
        assert served.figure("imgserve_renders_total") == 0
        assert served.figure("imgserve_cache_entries") == 0


def test_without_the_setting_none_is_served_whatever_was_before(folder: Path, tmp_path: Path) -> None:
    cache = ("--cache", tmp_path)
    with server(folder, *cache, env=ON) as served:
        assert [served.get(PHOTO).status_code for _ in range(3)] == [200] * 3
    with server(folder, *cache) as served:
        assert served.get("/img/a/photo.jpg").status_code == 200
        for target in (PHOTO, PHOTO.replace("format", "fm"), f"{PHOTO}&w=9", "/img/none.jpg?format=original"):
            answer = served.get(target)
            assert (answer.status_code, code(answer)) == (403, "originals_not_served")
            assert answer.headers["cache-control"] == "no-store"
