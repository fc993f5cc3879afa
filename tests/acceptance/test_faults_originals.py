"""Originals that come and go while the server is killed, its catalog locked or taken away, its folder renamed about."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.acceptance.fault_server import FaultServer, Stage, staged
from tests.management import KEY
from tests.pictures import encoded, noise
from tests.servers import command_of, until

HEADERS = {"authorization": f"Bearer {KEY}"}
MANAGED: dict[str, Any] = {"ORIGINALS__WATCH": "true", "ACCESS__ADMIN_KEY": KEY}
ROUNDS = 4


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as a_stage:
        yield a_stage


def ask(server: FaultServer, method: str, path: str, **options: object) -> httpx2.Response:
    return httpx2.request(method, f"http://127.0.0.1:{server.port}{path}", headers=HEADERS, timeout=60, **options)  # type: ignore[arg-type]  # as httpx2 takes them


def recorded(server: FaultServer) -> dict[str, str]:
    """Return the SHA-256 of every image that is known."""
    answer = ask(server, "GET", "/api/images?limit=1000")
    return {image["id"]: image["sha256"] for image in answer.json()["images"]} if answer.is_success else {}


def lying(stage: Stage) -> dict[str, str]:
    """Return the SHA-256 of every picture that lies among the originals."""
    found = dict[str, str]()
    for folder, folders, names in os.walk(stage.folder):  # passes over folders that vanish meanwhile
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(folder, name) for name in names if not name.startswith(".")):
            with contextlib.suppress(FileNotFoundError):
                found[str(path.relative_to(stage.folder))] = sha256(path.read_bytes()).hexdigest()
    return found


def agree(server: FaultServer, stage: Stage) -> bool:
    return bool(lying(stage)) and recorded(server) == lying(stage)


def served(server: FaultServer, *widths: int) -> bool:
    """Return whether pictures that were not asked for before are served."""
    return all(server.image(name, f"w={width}").status == 200 for name in ("a.png", "b.jpg") for width in widths)


def pictures(number: int, size: int = 60) -> list[bytes]:
    return [encoded(noise(size + n, size), "png") for n in range(number)]


def test_a_server_killed_in_uploads_leaves_whole_images_or_none(stage: Stage) -> None:
    chance, data = random.Random(4), pictures(30, 300)
    for number in range(ROUNDS):
        server = stage.serve(**MANAGED)
        ended = threading.Event()

        def upload(server: FaultServer = server, number: int = number, ended: threading.Event = ended) -> None:
            with contextlib.suppress(httpx2.HTTPError):
                for place, picture in enumerate(data):
                    ask(server, "PUT", f"/api/images/up/{number}-{place}.png", content=picture)
            ended.set()

        threading.Thread(target=upload, daemon=True).start()
        until(lambda number=number: (stage.folder / f"up/{number}-0.png").exists())  # type: ignore[misc]  # as elsewhere
        time.sleep(chance.uniform(0, 0.5))
        server.stop(signal.SIGKILL)
        assert ended.wait(60)
    server = stage.serve(**MANAGED)
    until(lambda: agree(server, stage))
    whole = {sha256(picture).hexdigest() for picture in data}
    assert {digest for name, digest in lying(stage).items() if name.startswith("up/")} <= whole
    assert not any((stage.folder / ".imgserve/incoming").iterdir())


def delete_and_be_killed(server: FaultServer, stage: Stage, seconds: float) -> None:
    """Have many images deleted, and kill the server once it has begun."""
    until(lambda: agree(server, stage))
    before = len(lying(stage))

    def delete() -> None:
        with contextlib.suppress(httpx2.HTTPError):
            ask(server, "POST", "/api/bulk/delete", json={"query": {"prefix": "many/"}})

    thread = threading.Thread(target=delete, daemon=True)
    thread.start()
    until(lambda: len(lying(stage)) < before)
    time.sleep(seconds)
    server.stop(signal.SIGKILL)
    thread.join(60)


def test_a_server_killed_in_a_bulk_delete_leaves_each_image_here_or_in_the_trash(stage: Stage) -> None:
    (stage.folder / "many").mkdir()
    for place, picture in enumerate(pictures(60)):
        stage.put(f"many/{place:03}.png", picture)
    before, chance = lying(stage), random.Random(5)
    for _ in range(2):
        delete_and_be_killed(stage.serve(**MANAGED), stage, chance.uniform(0, 0.05))
        server = stage.serve(**MANAGED)
        until(lambda server=server: agree(server, stage))  # type: ignore[misc]  # as elsewhere
        items = ask(server, "GET", "/api/trash").json()["items"]
        assert {item["id"] for item in items} | set(lying(stage)) == set(before)
        for item in items:
            assert ask(server, "POST", f"/api/trash/{item['item']}/restore").is_success
        assert lying(stage) == before
        server.stop()


def test_pictures_are_served_while_the_catalog_is_locked(stage: Stage) -> None:
    server = stage.serve(**MANAGED, CATALOG__PATIENCE=0.5)
    until(lambda: agree(server, stage))
    assert server.image("a.png", "w=10").status == 200
    with contextlib.closing(sqlite3.connect(stage.folder / ".imgserve/catalog.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused = ask(server, "PATCH", "/api/images/a.png", json={"title": "New"})
        assert (refused.status_code, refused.json()["code"]) == (503, "catalog_unavailable")
        assert "retry-after" in refused.headers
        assert [server.image(name, f"w={width}").status for name in ("a.png", "b.jpg") for width in (10, 11)] == [
            200
        ] * 4
        other.execute("ROLLBACK")
    changed = until(lambda: ask(server, "PATCH", "/api/images/a.png", json={"title": "New"}).is_success)
    assert changed


def test_pictures_are_served_without_the_catalog_and_the_next_start_makes_it_anew(stage: Stage) -> None:
    server = stage.serve(**MANAGED)
    until(lambda: agree(server, stage))
    for path in (stage.folder / ".imgserve").glob("catalog.sqlite*"):
        path.unlink()
    assert ask(server, "GET", "/api/images").status_code == 503
    assert served(server, 20, 21)
    assert server.stop() == 0
    server = stage.serve(**MANAGED)
    until(lambda: agree(server, stage))


def test_after_a_storm_of_renames_the_catalog_reports_what_is_there(stage: Stage) -> None:
    chance, server = random.Random(6), stage.serve(**MANAGED)
    data = pictures(12)
    for _ in range(300):
        folder = stage.folder / chance.choice(["", "x", "x/y", "z"])
        place = folder / f"{chance.randrange(12)}.png"
        everything = list(stage.folder.glob("[xz]*/**/*.png"))
        match chance.randrange(6):
            case 0 | 1 | 2:
                folder.mkdir(parents=True, exist_ok=True)
                place.write_bytes(chance.choice(data))
            case 3 if everything:
                folder.mkdir(parents=True, exist_ok=True)
                chance.choice(everything).rename(place)
            case 4 if everything:
                chance.choice(everything).unlink()
            case 5 if (stage.folder / "x").exists():
                shutil.rmtree(stage.folder / "w", ignore_errors=True)
                (stage.folder / "x").rename(stage.folder / "w")
            case _:
                time.sleep(0.01)
    until(lambda: agree(server, stage))


def test_two_processes_follow_each_other(stage: Stage) -> None:
    server = stage.serve(workers=2, **MANAGED)
    until(lambda: agree(server, stage))
    query = "w=40&h=200"
    before = {server.image("a.png", query).headers["etag"] for _ in range(8)}
    assert ask(server, "PATCH", "/api/images/a.png", json={"focal_point": {"x": 0.0, "y": 0.0}}).is_success
    until(lambda: before.isdisjoint(server.image("a.png", query).headers["etag"] for _ in range(8)))


def server_processes(server: FaultServer) -> list[psutil.Process]:
    return [child for child in server.children() if "spawn_main" in command_of(child)]


def test_the_watch_goes_on_when_its_process_dies(stage: Stage) -> None:
    server = stage.serve(workers=2, **MANAGED)
    until(lambda: agree(server, stage))
    for number in range(3):
        # One of the two watches; it is sure to be killed once where each is.
        until(lambda: len(server_processes(server)) == 2)
        server_processes(server)[number % 2].kill()
        stage.put(f"new-{number}.png", encoded(noise(50 + number, 50), "png"))
        until(lambda: agree(server, stage))
