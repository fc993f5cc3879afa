"""Pictures for programs: converted, made in steps, kept as originals, many in a ZIP, made ahead of time."""

import io
import json
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.management import KEY, Api, managed
from tests.pictures import BLUE, GREEN, RED, animation, color_at, encoded, near, noise, opened, quarters
from tests.servers import settled, until

ACCEPTS = {
    "old": "image/png,image/*;q=0.8,*/*;q=0.5",
    "webp": "image/webp,image/png,image/*;q=0.8,*/*;q=0.5",
    "avif": "image/avif,image/webp,image/png,image/*;q=0.8,*/*;q=0.5",
}
CONFIG = "presets: {card: {width: 50, height: 40, auto: format}}\nlimits: {bulk_images: 50}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("making")
    settled(place / "a.jpg", encoded(quarters(), "jpg"))
    settled(place / "shoes/räd one.png", encoded(noise(300, 200), "png"))
    settled(place / "shoes/blue.jpg", encoded(noise(320, 240), "jpg"))
    settled(place / "moving.gif", animation([RED, GREEN, BLUE]))
    settled(place / "bad/broken.jpg", encoded(noise(300, 200), "jpg")[:2500])
    return place


@pytest.fixture(scope="module")
def api(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text(CONFIG)
    with managed(folder, "--config", config) as an_api:
        until(lambda: len(an_api.every_id()) == 4)
        yield an_api


def posted(api: Api, path: str, **body: Any) -> Any:
    answer = api.ask("POST", path, json=body)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


def unpacked(api: Api, **body: Any) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    answer = api.ask("POST", "/api/transform", json={"output": "zip", **body})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip"), answer.text
    assert answer.headers["content-disposition"].startswith('attachment; filename="images-')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} <= {zipfile.ZIP_STORED}
        files = {name: archive.read(name) for name in archive.namelist()}
    return files, json.loads(files.pop("errors.json", b"[]"))


@pytest.mark.parametrize(
    ("extension", "media_type"),
    [
        ("webp", "image/webp"),
        ("JPEG", "image/jpeg"),
        ("png", "image/png"),
        ("avif", "image/avif"),
        ("tif", "image/tiff"),
    ],
)
def test_an_image_is_converted_with_the_parameters_of_a_url(api: Api, extension: str, media_type: str) -> None:
    answer = api.ask("GET", f"/api/convert/{extension}/a.jpg?width=80")
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["cache-control"] == "no-store"
    assert (opened(answer.content).width, opened(answer.content).height) == (80, 60)


def test_a_conversion_is_the_picture_of_the_url_with_another_extension(api: Api) -> None:
    converted = api.ask("GET", "/api/convert/webp/a.jpg?width=81")
    seen = api.served.get("/img/a.webp?width=81")
    assert converted.content == seen.content
    assert "hit" in seen.headers["cache-status"], "it was kept"
    old = api.ask("GET", "/api/images/a.jpg/convert/webp?width=81")
    assert (old.status_code, old.headers["location"]) == (308, "/api/convert/webp/a.jpg?width=81")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("xyz/a.jpg", 400, "bad_transform"),
        ("heic/a.jpg", 400, "bad_transform"),
        ("png/a.jpg?format=webp", 400, "bad_transform"),
        ("png/a.jpg?widht=3", 400, "bad_transform"),
        ("png/a.webp", 404, "image_not_found"),
        ("png/bad/broken.jpg", 422, "unreadable_image"),
    ],
)
def test_what_cannot_be_converted_is_reported(api: Api, path: str, status: int, code: str) -> None:
    answer = api.ask("GET", f"/api/convert/{path}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_steps_are_made_one_after_the_other(api: Api) -> None:
    steps = ["rect=0.5,0.0,0.5,1.0", "rotate=90", "width=60&format=png"]
    answer = api.ask("POST", "/api/transform/a.jpg", json={"steps": steps})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert near(color_at(opened(answer.content), 0.75, 0.5), GREEN)


def test_the_last_step_that_names_a_format_decides_it(api: Api) -> None:
    for steps, media_type in (
        (["width=80&format=webp", "flip=h"], "image/webp"),
        (["width=80&format=webp", "flip=h&format=png"], "image/png"),
        (["width=80", "flip=h"], "image/jpeg"),
    ):
        answer = api.ask("POST", "/api/transform/a.jpg", json={"steps": steps})
        assert answer.headers["content-type"] == media_type
    moving = api.ask("POST", "/api/transform/moving.gif", json={"steps": ["width=32", "flip=h"]})
    assert opened(moving.content, n=-1).get("n-pages") == 3


def test_every_mistake_in_every_step_is_reported(api: Api) -> None:
    answer = api.ask("POST", "/api/transform/a.jpg", json={"steps": ["width=x&nix=1", "", "fit=no"]})
    told = answer.json()["mistakes"]
    assert [mistake[:6] for mistake in told] == ["step 1", "step 1", "step 3"]
    bodies: list[dict[str, object]] = [{"steps": []}, {"steps": ["w=1"] * 17}, {"steps": ["w=1"], "id": "x.jpg"}, {}]
    for body in bodies:
        assert api.ask("POST", "/api/transform/a.jpg", json=body).status_code == 400


def test_a_picture_that_lacks_what_a_step_requests_is_reported_with_the_step(api: Api) -> None:
    for number, steps in ((1, ["rect=900,900,9,9", "flip=h"]), (2, ["width=40", "rect=100,100,50,50"])):
        answer = api.ask("POST", "/api/transform/a.jpg", json={"steps": steps})
        assert answer.status_code == 400
        assert [told[:12] for told in answer.json()["mistakes"]] == [f"step {number}: rect"]


def test_the_url_of_a_picture_is_the_shortest_that_requests_it(api: Api) -> None:
    path = "/api/transform/shoes%2Fr%C3%A4d%20one.png"
    made = posted(api, path, steps=["h=90&w=120&fm=webp&q=84"], output="url")
    assert made["url"] == "/img/shoes/r%C3%A4d%20one.png?format=webp&height=90&quality=84&width=120"
    assert api.served.get(made["url"]).headers["content-type"] == "image/webp"
    chain = posted(api, path, steps=["w=20", "rotate=90"], output="url")
    assert chain["url"] == "/img/shoes/r%C3%A4d%20one.png?width=20&then&rotate=90"
    answer = api.ask("POST", path, json={"steps": ["w=2"] * 9, "output": "url"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_transform")


def test_a_picture_is_kept_as_a_new_original(api: Api) -> None:
    answer = api.ask(
        "POST", "/api/transform/a.jpg",
        json={"steps": ["width=200", "rotate=90&format=png"], "output": "original", "id": "made/turned.png"},
    )  # fmt: skip
    assert (answer.status_code, answer.headers["location"]) == (201, "/api/images/made/turned.png")
    record = api.record("made/turned.png")
    assert (record["width"], record["height"], record["who"]) == (150, 200, "admin")
    assert record["metadata"]["made_from"] == "a.jpg"
    assert api.picture("made/turned.png?w=20").status_code == 200
    again = api.ask(
        "POST", "/api/transform/a.jpg",
        json={"steps": ["width=100"], "output": "original", "id": "made/turned.png"},
    )  # fmt: skip
    assert (again.status_code, again.json()["code"]) == (409, "image_exists")


def test_without_an_id_a_new_original_is_named_by_its_content(api: Api) -> None:
    made = posted(api, "/api/transform/a.jpg", steps=["width=77&format=webp"], output="original")
    again = posted(api, "/api/transform/a.jpg", steps=["width=77&format=webp"], output="original")
    assert (made["outcome"], again["outcome"]) == ("created", "existing")
    assert made["image"]["id"] == again["image"]["id"]
    assert made["image"]["id"].endswith(".webp")


def test_many_pictures_come_in_a_zip_that_reports_what_is_missing(api: Api) -> None:
    ids = ["shoes/räd one.png", "a.jpg", "moving.gif", "bad/broken.jpg", "none.jpg"]
    files, problems = unpacked(api, ids=ids, steps=["width=80&format=webp"])
    assert list(files) == ["shoes/räd one.webp", "a.webp", "moving.webp"]
    assert all(opened(data).width == 80 or name == "moving.webp" for name, data in files.items())
    assert {(one["id"], one["code"]) for one in problems} == {
        ("bad/broken.jpg", "unreadable_image"),
        ("none.jpg", "image_not_found"),
    }


def test_a_zip_of_a_query_holds_each_picture_in_steps(api: Api) -> None:
    files, problems = unpacked(api, query={"prefix": "shoes/"}, steps=["width=90", "rotate=90&format=jpg"])
    assert not problems
    assert sorted(files) == ["shoes/blue.jpg", "shoes/räd one.jpg"]
    assert {opened(data).height for data in files.values()} == {90}


def test_many_addresses_and_many_originals(api: Api) -> None:
    urls = posted(api, "/api/transform", ids=["a.jpg", "none.jpg"], steps=["w=31"], output="urls")["results"]
    assert urls[0] == {"id": "a.jpg", "url": "/img/a.jpg?width=31"}
    assert (urls[1]["problem"]["code"], "mistakes" in urls[1]["problem"]) == ("image_not_found", False)
    kept = posted(api, "/api/transform", query={"prefix": "shoes/"}, steps=["w=33&format=png"], output="originals")
    assert {one["id"] for one in kept["results"]} == {"shoes/blue.jpg", "shoes/räd one.png"}
    assert all(api.record(one["image"]["id"])["width"] == 33 for one in kept["results"])


def test_more_images_than_are_allowed_are_refused(api: Api) -> None:
    answer = api.ask("POST", "/api/transform", json={"ids": [f"{n}.jpg" for n in range(51)], "steps": ["w=1"]})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert "50" in answer.json()["detail"]


@pytest.mark.parametrize(
    "query", ["w=43&auto=format", "preset=card", "w=45", "w=46&format=webp", "w=47&auto=format,compress"]
)
def test_after_warming_every_browser_finds_its_picture(api: Api, query: str) -> None:
    asked = {"presets": ["card"]} if "preset" in query else {"transforms": [query]}
    lines = api.lines("/api/warm", {"ids": ["a.jpg", "shoes/blue.jpg", "moving.gif"], **asked})
    assert (lines[-1]["finished"], lines[-1]["failed"], lines[-1]["done"]) == (True, 0, 3)
    assert lines[-1]["made"] == (10 if "auto" in query or "preset" in query else 3), "no animated AVIF or JXL"
    for image in ("a.jpg", "shoes/blue.jpg", "moving.gif"):
        seen = [api.served.get(f"/img/{image}?{query}", accept=accept) for accept in ACCEPTS.values()]
        assert all("hit" in answer.headers["cache-status"] for answer in seen)
        if "auto=format" in query and image == "a.jpg":
            assert [one.headers["content-type"] for one in seen] == ["image/jpeg", "image/webp", "image/avif"]


def test_warming_again_makes_nothing_and_what_fails_is_reported(api: Api) -> None:
    body = {"ids": ["a.jpg", "bad/broken.jpg", "none.jpg"], "presets": ["card"], "transforms": ["w=48&format=png"]}
    first, again = api.lines("/api/warm", body), api.lines("/api/warm", body)
    assert [line["done"] for line in first] == [1, 2, 3, 4, 5, 6, 6]
    assert {line["total"] for line in first} == {6}
    assert (first[-1]["failed"], again[-1]["failed"], again[-1]["made"]) == (4, 4, 0)
    assert {(line["id"], line["problem"]["code"]) for line in first if "problem" in line} == {
        ("bad/broken.jpg", "unreadable_image"),
        ("none.jpg", "image_not_found"),
    }


@pytest.mark.parametrize(
    "body",
    [
        {"ids": ["a.jpg"]},
        {"ids": ["a.jpg"], "presets": ["nix"]},
        {"ids": ["a.jpg"], "transforms": ["nix=1"]},
        {"transforms": ["w=1"]},
    ],
)
def test_what_cannot_be_warmed_is_refused_before_anything_is_made(api: Api, body: dict[str, Any]) -> None:
    assert api.ask("POST", "/api/warm", json=body).status_code == 400


def test_the_work_for_a_zip_ends_when_its_reader_leaves(folder: Path, api: Api) -> None:
    picture = encoded(noise(1500, 1000), "png")
    for number in range(24):
        settled(folder / f"many/{number}.png", picture)
    body = json.dumps({"ids": [f"many/{n}.png" for n in range(24)], "steps": ["w=900&format=png", "flip=h"]}).encode()
    head = f"POST /api/transform HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    before = api.served.figure("imgserve_renders_total")
    with socket.create_connection(api.served.address) as connection:
        connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    until(lambda: api.served.figure("imgserve_rendering") == 0 and api.served.figure("imgserve_render_queue") == 0)
    assert api.served.figure("imgserve_renders_total") - before < 14


@pytest.mark.parametrize(("prepare", "made_from"), [("ingest", "mezzanine"), ("demand", "original")])
def test_a_large_image_that_comes_in_is_prepared_for_its_first_picture(
    tmp_path: Path, prepare: str, made_from: str
) -> None:
    with managed(tmp_path, env={"IMGSERVE_RENDERING__PREPARE": prepare}) as own:
        settled(tmp_path / "large.jpg", encoded(noise(2000, 1500), "jpg"))
        settled(tmp_path / "small.jpg", encoded(noise(200, 150), "jpg"))
        until(lambda: len(own.every_id()) == 2)
        if prepare == "ingest":
            until(lambda: own.get("/api/cache")["mezzanine"]["entries"] == 1)
        assert own.picture("large.jpg?w=300").status_code == 200
        assert own.served.figure("imgserve_renders_made_from_total", what=made_from) == 1


def test_nobody_makes_anything_without_a_key(api: Api) -> None:
    for method, path in (("GET", "/api/convert/png/a.jpg"), ("POST", "/api/transform"), ("POST", "/api/warm")):
        assert api.served.ask(method, path).status_code == 401
