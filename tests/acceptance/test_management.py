"""Originals come and go on a running server: dropped, uploaded, found, described, purged, deleted, brought back."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.management import Api, managed
from tests.pictures import BLUE, GREEN, RED, color_at, encoded, near, noise, opened, quarters
from tests.servers import settled, until

SHOE = encoded(quarters(), "jpg")


def plain(color: tuple[int, int, int], width: int = 40, height: int = 30) -> bytes:
    return encoded((quarters(width, height) * 0 + list(color)).cast("uchar"), "png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("managed")
    settled(place / "here/before.png", plain(RED))
    return place


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    with managed(folder) as an_api:
        yield an_api


def until_there(api: Api, image_id: str) -> dict[str, Any]:
    return until(lambda: api.found(image_id) or {})


def test_what_was_there_before_is_known(api: Api) -> None:
    record = until_there(api, "here/before.png")
    assert (record["width"], record["height"], record["format"], record["origin"]) == (40, 30, "png", "watch")


def test_a_file_that_is_dropped_replaced_and_deleted_is_followed(api: Api, folder: Path) -> None:
    settled(folder / "dropped.png", plain(RED))
    first = until_there(api, "dropped.png")
    assert near(color_at(opened(api.picture("dropped.png").content), 0.5, 0.5), RED)
    settled(folder / "dropped.png", plain(GREEN, 50))
    until(lambda: api.record("dropped.png")["sha256"] != first["sha256"])
    assert near(color_at(opened(api.picture("dropped.png").content), 0.5, 0.5), GREEN)
    (folder / "dropped.png").unlink()
    until(lambda: api.found("dropped.png") is None)
    assert api.picture("dropped.png").status_code == 404


def test_a_renamed_file_keeps_what_was_said_of_it(api: Api, folder: Path) -> None:
    settled(folder / "old-name.png", plain(BLUE, 61))
    until_there(api, "old-name.png")
    api.ask("PATCH", "/api/images/old-name.png", json={"title": "A blue wall"})
    (folder / "old-name.png").rename(folder / "new-name.png")
    record = until_there(api, "new-name.png")
    until(lambda: api.found("old-name.png") is None)
    assert record["title"] == "A blue wall"


def test_a_file_that_is_no_image_is_a_problem(api: Api, folder: Path) -> None:
    settled(folder / "letter.jpg", b"Dear Sir or Madam")
    problem = until(lambda: api.problem("letter.jpg") or {})
    assert problem["code"] == "unsupported_image"
    assert api.picture("letter.jpg").status_code == 415
    settled(folder / "letter.jpg", plain(GREEN, 77))
    until_there(api, "letter.jpg")
    assert api.problem("letter.jpg") is None


def test_an_upload_is_served_at_once(api: Api) -> None:
    made = api.ask(
        "POST", "/api/images", files={"file": ("my shoe.jpg", SHOE)}, data={"title": "Shoe", "tags": "red, new"}
    )
    assert made.status_code == 201, made.text
    answer = made.json()
    record = answer["image"]
    assert made.headers["location"].endswith(quote(record["id"]))
    assert (record["title"], record["tags"], record["origin"]) == ("Shoe", ["new", "red"], "upload")
    assert api.served.get(record["url"] + "?width=20").status_code == 200
    addresses = [piece.split()[0] for example in answer["examples"].values() for piece in example.split(", ")]
    assert [api.served.get(address).status_code for address in addresses] == [200] * len(addresses)
    again = api.ask("POST", "/api/images", files={"file": ("other name.jpg", SHOE)})
    assert (again.status_code, again.json()["image"]["id"]) == (200, record["id"])


def test_a_raw_upload_under_a_chosen_id_replaces(api: Api) -> None:
    for color, status in ((RED, 201), (BLUE, 200)):
        answer = api.ask(
            "PUT", "/api/images/chosen/place.png", content=plain(color), headers={"content-type": "image/png"}
        )
        assert answer.status_code == status, answer.text
        assert near(color_at(opened(api.picture("chosen/place.png").content), 0.5, 0.5), color)


def test_a_bad_file_among_many_spoils_only_itself(api: Api) -> None:
    files = [("file", (f"{n}.png", plain(RED, 70 + n))) for n in range(2)] + [("file", ("bad.png", b"no picture"))]
    answer = api.ask("POST", "/api/images", files=files, data={"folder": "many/"})
    assert answer.status_code == 207
    assert [result["status"] for result in answer.json()["results"]] == [201, 201, 415]
    assert answer.json()["results"][2]["problem"]["code"] == "unsupported_image"
    assert api.found("many/0.png")


def test_crops_follow_the_focal_point_at_once(api: Api) -> None:
    api.ask("PUT", "/api/images/focus.jpg", content=encoded(quarters(400, 100), "jpg"))
    query = "?width=50&height=100"
    etags = {api.picture("focus.jpg" + query).headers["etag"]}
    colors = []
    for x in (0.05, 0.95):
        changed = api.ask("PATCH", "/api/images/focus.jpg", json={"focal_point": {"x": x, "y": 0.5}})
        assert changed.status_code == 200, changed.text
        answer = api.picture("focus.jpg" + query)
        etags.add(answer.headers["etag"])
        colors.append(color_at(opened(answer.content), 0.5, 0.2))
    assert len(etags) == 3
    assert not near(colors[0], colors[1])


def test_images_are_found_by_what_was_said_of_them(api: Api) -> None:
    for name in ("one", "two"):
        api.ask("PUT", f"/api/images/found/{name}.png", content=plain(GREEN, 80 if name == "one" else 90))
        api.ask("PATCH", f"/api/images/found/{name}.png", json={"alt": f"Número {name}", "tags": ["numbers", name]})
    assert api.ids("?q=numero+tw&prefix=found/") == ["found/two.png"]
    assert api.ids("?tag=numbers&sort=id&order=asc") == ["found/one.png", "found/two.png"]
    assert api.ids("?tag=numbers&min_width=85") == ["found/two.png"]


def test_deleted_is_gone_and_comes_back(api: Api, folder: Path) -> None:
    api.ask("PUT", "/api/images/bin/me.png", content=plain(GREEN, 33))
    api.ask("PATCH", "/api/images/bin/me.png", json={"title": "Keep me"})
    api.picture("bin/me.png?width=10")
    [gone] = api.ask("DELETE", "/api/images/bin/me.png").json()["deleted"]
    assert api.picture("bin/me.png?width=10").status_code == 404
    assert api.found("bin/me.png") is None
    assert not (folder / "bin").exists()
    assert api.ask("DELETE", "/api/images/bin/me.png").status_code == 404
    restored = api.ask("POST", f"/api/trash/{gone['trash_item']}/restore")
    assert (restored.status_code, restored.json()["title"]) == (200, "Keep me")
    assert api.picture("bin/me.png?width=10").status_code == 200


def test_a_purge_removes_renditions_and_nothing_else(api: Api) -> None:
    api.ask("PUT", "/api/images/purge/me.png", content=plain(GREEN, 43))
    for width in (10, 11, 12):
        assert api.picture(f"purge/me.png?width={width}").status_code == 200
    purged = api.ask("POST", "/api/purge/purge/me.png").json()
    assert purged["images"] == 1
    before = api.served.figure("imgserve_renders_total")
    assert api.picture("purge/me.png?width=10").status_code == 200
    assert api.served.figure("imgserve_renders_total") == before + 1


def test_one_rendition_is_purged_in_all_processes(tmp_path: Path) -> None:
    settled(tmp_path / "one.jpg", encoded(quarters(), "jpg"))
    with managed(tmp_path, "--workers", 2) as two:

        def outcome(width: int) -> str:
            answer = two.served.get(f"/img/one.jpg?width={width}", connection="close")  # of any process
            return answer.headers["cache-status"].split(";")[1].strip()

        widths = (31, 32, 35)
        until(lambda: {outcome(width) for width in 4 * widths} == {"hit"})
        for one in two.get("/api/renditions/one.jpg")["renditions"]:
            if "width=35" not in one["transform"]:
                path = f"/api/renditions/one.jpg?name={quote(one['name'])}"
                assert two.ask("DELETE", path).json() == {"images": 1, "renditions": 1}
        (left,) = two.get("/api/renditions/one.jpg")["renditions"]
        assert "width=35" in left["transform"]
        time.sleep(1.5)  # until the other process has followed
        assert [outcome(width) for width in reversed(widths)] == ["hit", "fwd=miss", "fwd=miss"]


def test_a_large_photograph_has_its_mezzanine_before_anybody_requests(api: Api, folder: Path) -> None:
    settled(folder / "photo.jpg", encoded(noise(4000, 3000), "jpg"))
    until_there(api, "photo.jpg")
    until(lambda: api.served.figure("imgserve_mezzanines_total", result="kept"))
    before = api.served.figure("imgserve_renders_made_from_total", what="mezzanine")
    assert api.picture("photo.jpg?width=300").status_code == 200
    assert api.served.figure("imgserve_renders_made_from_total", what="mezzanine") == before + 1


def test_warmed_pictures_are_hits(api: Api) -> None:
    api.ask("PUT", "/api/images/warm/me.png", content=plain(RED, 47))
    progress = api.lines("/api/warm", {"ids": ["warm/me.png"], "transforms": ["w=20&format=webp", "w=21"]})
    assert progress[-1]["finished"]
    assert (progress[-1]["done"], progress[-1]["failed"]) == (2, 0)
    assert "hit" in api.picture("warm/me.png?w=20&format=webp").headers["cache-status"]


def test_a_chain_of_transforms_and_a_zip(api: Api) -> None:
    api.ask("PUT", "/api/images/make/me.jpg", content=SHOE)
    made = api.ask(
        "POST",
        "/api/transform/make/me.jpg",
        json={"steps": ["width=200&height=200", "rotate=90&width=100&format=png"], "output": "picture"},
    )
    picture = opened(made.content)
    assert (made.headers["content-type"], picture.width, picture.height) == ("image/png", 100, 100)
    archive = api.ask("POST", "/api/transform", json={"ids": ["make/me.jpg"], "steps": ["width=50"], "output": "zip"})
    assert archive.headers["content-type"] == "application/zip"
    assert archive.content.startswith(b"PK")


@pytest.mark.parametrize("key", [None, "wrong"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/images"), ("POST", "/api/images"), ("DELETE", "/api/cache"), ("GET", "/api/nothing")],
)
def test_strangers_are_reported_nothing(api: Api, key: str | None, method: str, path: str) -> None:
    answer = api.served.ask(method, path, **({} if key is None else {"x_api_key": key}))
    assert answer.status_code == (404 if path == "/api/nothing" else 401)
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_document_of_the_api_is_open(api: Api) -> None:
    document = api.served.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/api/images", "/api/images/{image_id}", "/api/warm"} <= set(document["paths"])
    assert api.served.get("/docs/api").headers["content-type"].startswith("text/html")
