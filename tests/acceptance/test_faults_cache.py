"""The cache folder wiped, full, read-only, broken or not there, and a server killed while it writes."""

import contextlib
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.acceptance.fault_server import Answer, FaultServer, Stage, decodes, gone, staged
from tests.disks import mount
from tests.servers import until

ROUNDS = 4
NO_MEMORY = {"CACHE__MEMORY_BYTES": 0}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as stage:
        yield stage


@pytest.fixture
def small_disk(stage: Stage) -> Iterator[Path]:
    """Put the cache on a file system with room for a few small pictures."""
    stage.cache.mkdir()
    mount("-t", "tmpfs", "-o", "size=400k", "tmpfs", str(stage.cache))
    yield stage.cache
    subprocess.run(["umount", "--lazy", str(stage.cache)], check=True)  # noqa: S607  as above


def errors_counted(server: FaultServer) -> float:
    return until(lambda: server.figure("cache_errors_total", tier="disk"))


def warnings(server: FaultServer) -> list[str]:
    return [line for line in server.lines if "[warning" in line or "[error" in line or "Traceback" in line]


def serves(server: FaultServer, queries: list[str], name: str = "a.png") -> bool:
    answers = [server.image(name, query) for query in queries]
    return all(answer.status == 200 and decodes(answer.body) for answer in answers)


def stored(stage: Stage) -> list[Path]:
    return [path for path in stage.cache.glob("renditions/*/*/*") if path.is_file()]


def whole(answer: Future[Answer]) -> bool:
    """Return whether an answer that came is right; one that a kill has cut off has no Content-Length that is met."""
    with contextlib.suppress(OSError, HTTPException):
        got = answer.result()
        return got.status == 200 and decodes(got.body) and int(got.headers["content-length"]) == len(got.body)
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_killed_while_it_writes_leaves_no_torn_picture_and_no_process(stage: Stage, workers: int) -> None:
    chance = random.Random(workers)
    queries = [f"w={width}&fm=png" for width in range(200, 260)]
    for number in range(ROUNDS if workers == 1 else 2):
        server = stage.serve(**NO_MEMORY, workers=workers, RENDERING__PROCESSES=2)
        chance.shuffle(queries)
        children = server.children()
        answers = server.begin_many("a.png", queries)
        until(lambda answers=answers: any(answer.done() for answer in answers))  # type: ignore[misc]  # as elsewhere
        time.sleep(chance.uniform(0.0, 0.4))
        server.stop(signal.SIGKILL)
        assert all(whole(answer) for answer in answers), f"round {number}"
        until(lambda children=children: all(gone(child) for child in children))  # type: ignore[misc]  # as above
    assert all(decodes(path.read_bytes()) for path in stored(stage))
    (stage.cache / ".tmp").mkdir(exist_ok=True)
    (stage.cache / ".tmp" / f"{server.process.pid}.dead.0").write_bytes(b"half")
    server = stage.serve(**NO_MEMORY)
    assert serves(server, queries)
    until(lambda: not list((stage.cache / ".tmp").iterdir()))
    assert server.figure("cache_errors_total") == 0


def test_a_cache_folder_wiped_under_a_running_server_is_filled_again(stage: Stage) -> None:
    server = stage.serve(**NO_MEMORY)
    queries = [f"w={width}" for width in range(20, 30)]
    assert serves(server, queries)
    assert stored(stage)
    shutil.rmtree(stage.cache)
    assert server.get("/readyz").status == 200
    assert serves(server, queries)
    assert until(lambda: serves(server, queries) and len(stored(stage)) == len(queries))
    assert server.get("/readyz").status == 200
    assert until(lambda: "hit" in server.image("a.png", "w=20").outcome)
    assert not any("Traceback" in line for line in server.lines)


def test_pictures_wiped_while_clients_ask_are_all_served(stage: Stage) -> None:
    server = stage.serve(**NO_MEMORY, RENDERING__WAITING=200)
    queries = [f"w={width}" for width in range(20, 60)] * 2
    answers = server.begin_many("a.png", queries)
    while not all(answer.done() for answer in answers):
        shutil.rmtree(stage.cache, ignore_errors=True)
        time.sleep(0.05)
    assert {answer.result().status for answer in answers} == {200}
    assert all(decodes(answer.result().body) for answer in answers)
    assert server.get("/readyz").status == 200


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_costs_the_cache_and_no_picture(stage: Stage) -> None:
    server = stage.serve(**NO_MEMORY)
    assert serves(server, [f"w={width}&fm=png" for width in range(150, 170)])
    assert errors_counted(server) >= 1
    assert sum("ENOSPC" in line or "full" in line.lower() for line in warnings(server)) in {1, 2}
    assert all(decodes(path.read_bytes()) for path in stored(stage))
    assert list((stage.cache / ".tmp").iterdir()) == []
    ready = server.get("/readyz")
    assert (ready.status, b"degraded" in ready.body) == (200, True)


def test_a_read_only_disk_costs_the_cache_and_no_picture_until_it_can_be_written_again(
    stage: Stage, small_disk: Path
) -> None:
    server = stage.serve(**NO_MEMORY)
    assert serves(server, ["w=20"])
    assert server.stop() == 0
    mount("-o", "remount,ro", str(small_disk))
    server = stage.serve(**NO_MEMORY)
    assert serves(server, ["w=21", "w=21", "w=22"])
    assert serves(server, ["w=20"])
    assert errors_counted(server) >= 1
    assert 1 <= len(warnings(server)) <= 4
    mount("-o", "remount,rw", str(small_disk))
    assert until(lambda: "hit" in server.image("a.png", "w=21").outcome)
    assert until(lambda: b"degraded" not in server.get("/readyz").body)


def test_a_file_in_place_of_the_cache_folder_costs_the_cache_and_no_picture(stage: Stage) -> None:
    stage.cache.write_bytes(b"not a folder")
    server = stage.serve(**NO_MEMORY)
    assert serves(server, [f"w={width}" for width in range(20, 25)])
    assert errors_counted(server) >= 1
    assert 1 <= len(warnings(server)) <= 4
    assert server.get("/readyz").status == 200
    assert stage.cache.read_bytes() == b"not a folder"
    assert server.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("size", [0, 4096])
def test_a_broken_ledger_is_made_anew_and_its_pictures_are_kept(stage: Stage, size: int) -> None:
    server = stage.serve(**NO_MEMORY)
    assert serves(server, ["w=20", "w=21"])
    server.stop(signal.SIGKILL)
    for path in stage.cache.glob("ledger.sqlite*"):
        path.unlink()
    (stage.cache / "ledger.sqlite").write_bytes(random.Random(size).randbytes(size))
    server = stage.serve(**NO_MEMORY)
    assert serves(server, ["w=20", "w=22"])
    assert until(lambda: "hit" in server.image("a.png", "w=22").outcome)
    assert "hit" in server.image("a.png", "w=21").outcome


def test_a_cache_folder_that_is_missing_is_made_with_its_parents(stage: Stage) -> None:
    stage.cache = stage.cache / "not" / "yet" / "there"
    server = stage.serve(**NO_MEMORY)
    assert server.get("/readyz").status == 200
    assert serves(server, ["w=20"])
    assert "hit" in server.image("a.png", "w=20").outcome
    assert warnings(server) == []
