"""Presets that people edit while servers run: by the API, by commands, and as pictures show them."""

import contextlib
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.management import KEY, Api, managed
from tests.pictures import encoded, noise, opened
from tests.servers import imgserve, settled, until

CONFIG = """
presets:
  card: {width: 50, height: 40, aliases: [tile]}
sites:
  shop: {folder: shop, presets: {own: width=33}}
"""
PROCESSES = 2


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder, config = tmp_path_factory.mktemp("originals"), tmp_path_factory.mktemp("config") / "config.yaml"
    for name in ("a.jpg", "shop/b.jpg"):
        settled(folder / name, encoded(noise(400, 300), "jpg"))
    config.write_text(CONFIG)
    with managed(folder, "--config", config, "--workers", PROCESSES) as an_api:
        yield an_api


def put(api: Api, name: str, parameters: object, **headers: str) -> httpx2.Response:
    return api.ask("PUT", f"/api/presets/{name}", json={"parameters": parameters}, headers=headers)


def width(api: Api, target: str) -> int:
    """Return the width of a picture, or the status of an error; each request is a new connection to some process."""
    connection = HTTPConnection(api.served.base_url.removeprefix("http://"))
    with contextlib.closing(connection):
        connection.request("GET", f"/img/{target}")
        answer = connection.getresponse()
        return opened(answer.read()).width if answer.status == 200 else answer.status


def everywhere(api: Api, target: str, expected: int) -> None:
    """Wait until every process responds so; nothing else may come afterwards."""
    until(lambda: all(width(api, target) == expected for _ in range(8 * PROCESSES)))


def test_a_preset_is_used_by_all_processes_and_replaces_what_they_had_cached(api: Api) -> None:
    assert width(api, "a.jpg/teaser") == 404
    created = api.ask("POST", "/api/presets", json={"name": "Teaser", "parameters": {"extends": "tile", "width": 60}})
    assert created.status_code == 201, created.text
    assert created.json() | {"changed": ""} == {
        "name": "teaser", "parameters": "extends=tile&width=60", "query": "height=40&width=60", "origin": "catalog",
        "aliases": [], "locked": [], "changed": "",
    }  # fmt: skip
    everywhere(api, "a.jpg/teaser", 60)
    everywhere(api, "shop/b.jpg?preset=teaser", 60)
    assert put(api, "teaser", "w=70&locked=width&aliases=t2").json()["locked"] == ["dpr", "width"]
    everywhere(api, "a.jpg/teaser", 70)
    everywhere(api, "a.jpg/t2", 70)
    assert width(api, "a.jpg/teaser?w=71") == 400
    assert api.ask("DELETE", "/api/presets/teaser").json() == {"name": "teaser"}
    everywhere(api, "a.jpg?preset=teaser", 400)


def test_a_look_may_be_replaced_and_comes_back(api: Api) -> None:
    assert put(api, "noir", "w=20").json()["origin"] == "catalog"
    everywhere(api, "a.jpg/noir", 20)
    assert api.ask("DELETE", "/api/presets/noir").status_code == 200
    everywhere(api, "a.jpg/noir", 400)
    assert api.get("/api/presets/noir")["origin"] == "built-in"


@pytest.mark.parametrize(
    ("name", "parameters", "status", "found"),
    [
        ("x", "w=0&widht=1", 400, ["width: expected", 'unknown parameter "widht"']),
        ("x", {"width": -1, "extends": "x"}, 400, ["width: expected"]),
        ("x", {"extends": "x"}, 400, ["extends: x extends x, which is a loop"]),
        ("x", {"extends": "own"}, 400, ['extends: there is no preset "own"']),
        ("x", {"aliases": ["card"]}, 409, ["The settings decide"]),
        ("a b", "w=1", 400, ["name: a preset's name"]),
        ("card", "w=1", 409, ["The settings decide"]),
        ("TILE", "w=1", 409, ["The settings decide"]),
        ("x", 3, 400, ["parameters"]),
    ],
)
def test_a_mistake_changes_nothing(api: Api, name: str, parameters: Any, status: int, found: list[str]) -> None:
    before = api.get("/api/presets")
    answer = put(api, name, parameters)
    assert answer.status_code == status, answer.text
    for text in found:
        assert text in " ".join(answer.json().get("mistakes") or [answer.json()["detail"]])
    assert api.get("/api/presets") == before


def test_changes_of_two_people_do_not_overwrite_each_other(api: Api) -> None:
    first = put(api, "both", "w=10")
    second = put(api, "both", "w=11", **{"if-match": first.headers["etag"]})
    assert (first.status_code, second.status_code) == (200, 200)
    assert put(api, "both", "w=12", **{"if-match": first.headers["etag"]}).status_code == 412
    assert put(api, "none", "w=12", **{"if-match": "*"}).status_code == 412
    again = api.ask("GET", "/api/presets/both")
    assert (again.json()["parameters"], again.headers["etag"]) == ("w=11", second.headers["etag"])
    assert api.ask("POST", "/api/presets", json={"name": "both", "parameters": ""}).json()["code"] == "preset_conflict"
    assert put(api, "child", "extends=both").status_code == 200
    refused = api.ask("DELETE", "/api/presets/both")
    assert (refused.status_code, "child" in refused.json()["detail"]) == (409, True)
    for name in ("child", "both"):
        assert api.ask("DELETE", f"/api/presets/{name}").status_code == 200
    assert api.ask("DELETE", "/api/presets/both").json()["code"] == "preset_not_found"
    actions = [entry["action"] for entry in api.get("/api/audit?target=both")["entries"]]
    assert actions == ["presets_remove", "presets_replace", "presets_replace"]


def test_commands_list_set_and_remove(api: Api, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        done = imgserve("--server", api.served.base_url, "presets", *words, cwd=tmp_path, IMGSERVE_KEY=KEY)
        return done.stdout + done.stderr

    assert run("set", "small", "w=40&aliases=tiny") == "small,tiny                catalog   w=40&aliases=tiny\n"
    # Another server process may answer, which learns of it within a second.
    listed = until(lambda: next((text for text in [run("list")] if "small,tiny" in text), None))
    assert listed is not None
    assert "card,tile                 settings  width=50&height=40&aliases=tile\n" in listed
    assert run("remove", "small") == "removed: small\n"
    assert "settings decide" in run("set", "card", "w=1")
