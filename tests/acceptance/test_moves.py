"""Images moved on running servers: old URLs redirect in every process and node, also after a kill in the middle."""

import contextlib
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.fault_server import FaultServer
from tests.management import KEY, Api, managed
from tests.pictures import encoded, noise, quarters
from tests.postgres import serving
from tests.servers import Answer, Server, settled, until

PRESETS = "presets: {card: {width: 24, format: webp}}\n"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """Serve with two processes."""
    settled(tmp_path / "originals/old/a b.jpg", encoded(noise(60, 40), "jpg"))
    config = tmp_path / "imgserve.yaml"
    config.write_text(PRESETS)
    with managed(tmp_path / "originals", "--config", config, "--workers", "2") as an_api:
        until(lambda: an_api.found("old/a b.jpg"))
        yield an_api


def location(api: Api, target: str) -> str:
    """Return where an old URL leads, when the process that answers a new connection knows it."""
    found = list[Answer]()

    def redirected() -> bool:
        found.append(api.served.get_exactly(f"/img/{target}"))
        return found[-1].status == 308

    until(redirected)
    headers = found[-1].headers
    assert (headers["cache-control"], headers["access-control-allow-origin"]) == ("max-age=10", "*")
    assert found[-1].body == b""
    return headers["location"]


def test_every_old_url_leads_to_the_picture_that_it_was(api: Api, tmp_path: Path) -> None:
    api.ask("PATCH", "/api/images/old/a%20b.jpg", json={"title": "Noise"})
    before = {
        target: api.picture(target) for target in ("old/a%20b.jpg?width=30", "old/a%20b.png", "old/a%20b.jpg/card")
    }
    assert {answer.status_code for answer in before.values()} == {200}
    assert api.ask("POST", "/api/move/old/a%20b.jpg", json={"to": "new/ü.jpg"}).status_code == 200
    expected = ("/img/new/%C3%BC.jpg?width=30", "/img/new/%C3%BC.png", "/img/new/%C3%BC.jpg/card")
    for (target, answer), new in zip(before.items(), expected, strict=True):
        for _ in range(4):  # whichever process answers
            assert location(api, target) == new
        assert api.served.get(new).content == answer.content
    assert location(api, "old/a%20b.jpg?w=9&title=%C3%BC&x=a+b") == "/img/new/%C3%BC.jpg?w=9&title=%C3%BC&x=a+b"
    assert api.served.ask("HEAD", "/img/old/a%20b.jpg").status_code == 308
    assert api.record("new/ü.jpg")["title"] == "Noise"
    assert api.every_id() == ["new/ü.jpg"]
    settled(tmp_path / "originals/old/a b.jpg", encoded(quarters(), "jpg"))
    until(lambda: api.found("old/a b.jpg"))
    until(lambda: api.picture("old/a%20b.jpg").status_code == 200)
    api.ask("DELETE", "/api/images/old/a%20b.jpg")
    until(lambda: api.picture("old/a%20b.jpg").status_code == 404)


def test_without_redirects_old_urls_are_not_found(tmp_path: Path) -> None:
    settled(tmp_path / "a.jpg", encoded(quarters(), "jpg"))
    with managed(tmp_path, env={"IMGSERVE_ORIGINALS__REDIRECTS": "0"}) as api:
        until(lambda: api.found("a.jpg"))
        assert api.ask("POST", "/api/move/a.jpg", json={"to": "b.jpg"}).status_code == 200
        assert [api.picture(name).status_code for name in ("a.jpg", "b.jpg")] == [404, 200]
        assert api.ask("GET", "/api/images/a.jpg").status_code == 404


def test_two_nodes_follow_a_move(tmp_path: Path) -> None:
    settled(tmp_path / "originals/a.jpg", encoded(quarters(), "jpg"))
    with serving() as postgres:
        env = {"IMGSERVE_CATALOG__URL": postgres.new_database()}
        nodes = [
            managed(tmp_path / "originals", "--cache", tmp_path / name, "--data", tmp_path / name, env=env)
            for name in ("one", "two")
        ]
        with nodes[0] as one, nodes[1] as two:
            for api in (one, two):
                until(lambda api=api: api.found("a.jpg"))  # type: ignore[misc]  # bound at once
                assert api.picture("a.jpg?width=9").status_code == 200
            assert one.ask("POST", "/api/move/a.jpg", json={"to": "b.jpg"}).status_code == 200
            assert one.ask("POST", "/api/move/b.jpg", json={"to": "c.jpg"}).status_code == 200
            for api in (one, two):
                assert location(api, "a.jpg?width=9") == location(api, "b.jpg?width=9") == "/img/c.jpg?width=9"
                assert api.picture("c.jpg?width=9").status_code == 200
            time.sleep(1)  # both watchers have seen both renames by then
            assert (one.every_id(), two.every_id()) == (["c.jpg"], ["c.jpg"])


def test_a_server_that_is_killed_while_it_moves_loses_nothing(tmp_path: Path) -> None:
    names, chance = [f"{number:02}.png" for number in range(16)], random.Random(1)
    for number, name in enumerate(names):
        settled(tmp_path / "originals/old" / name, encoded(noise(20, 20 + number), "png"))
    settings: dict[str, object] = {"ORIGINALS__WATCH": "true", "ACCESS__ADMIN_KEY": KEY}
    hurt = FaultServer(tmp_path / "originals", tmp_path / "cache", settings, 1)
    with ThreadPoolExecutor() as clients, contextlib.closing(hurt):
        api = Api(Server(hurt.process, base_url=f"http://127.0.0.1:{hurt.port}"))
        until(lambda: len(api.every_id()) == len(names))
        api.ask("POST", "/api/bulk/tag", json={"query": {"prefix": "old/"}, "add": ["kept"]})
        before = {one["sha256"]: one["created"] for one in api.get("/api/images")["images"]}
        request = clients.submit(api.ask, "POST", "/api/move", json={"prefix": "old/", "to": "new/"})
        until((tmp_path / "originals/new").exists)
        time.sleep(chance.uniform(0, 0.1))
        assert hurt.stop(signal.SIGKILL) == -signal.SIGKILL
        assert request.exception() is not None or request.result().status_code == 200
    with managed(tmp_path / "originals", "--cache", tmp_path / "cache") as api:
        moved = {path.name for path in (tmp_path / "originals/new").iterdir()}
        there = sorted(f"new/{name}" if name in moved else f"old/{name}" for name in names)
        until(lambda: api.every_id() == there)
        after = api.get("/api/images?tag=kept")["images"]
        assert {one["sha256"]: one["created"] for one in after} == before
        for name in names:
            answer = api.picture(f"old/{name}")
            expected = (308, f"/img/new/{name}") if name in moved else (200, None)
            assert (answer.status_code, answer.headers.get("location")) == expected
