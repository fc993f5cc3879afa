"""Hostile files below a whole server: each costs one clean answer, and everything else goes on."""

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import bombs
from tests.acceptance.fault_server import FaultServer, Stage, decodes, staged
from tests.mutations import mutations, seeds
from tests.servers import until

CLEAN = {200, 413, 415, 422}
SETTINGS: dict[str, Any] = {"RENDERING__PROCESSES": 2, "RENDERING__TIME_LIMIT": "5s", "RENDERING__WAITING": 500}
SERVER_MEMORY = 400_000_000
"""Bytes resident in the server process itself, which decodes nothing."""

BOMBS: dict[str, tuple[Callable[[], bytes], bytes]] = {
    "flat.png": (lambda: bombs.png(30_000, 30_000), b"original_pixels"),
    "tall.png": (lambda: bombs.png(1, 1_000_000), b"original_side"),
    "wide.png": (lambda: bombs.png(1_000_000, 1, interlaced=True), b"original_side"),
    "header.jpg": (lambda: bombs.jpeg(60_000, 60_000), b"original_pixels"),
    "flat.avif": (lambda: bombs.avif(10_000, 6_000), b"original_pixels"),
    "units.svg": (lambda: bombs.svg("", 1_000_000), b"svg_side"),
    "bomb.svgz": (lambda: bombs.svgz(1 << 28), b"svg_bytes"),
    "heavy.bin": (lambda: b"\xff\xd8\xff" + bytes(70 << 20), b"original_bytes"),
    "numbers.jpg": (lambda: b"4 4\n" + b"1 2 3 4\n" * 4, b"unsupported_image"),
    "page.png": (lambda: b"<html><body>not a picture</body></html>", b"unsupported_image"),
    "entities.svg": (bombs.entities, b"limit_exceeded"),
    "uses.svg": (bombs.nested_uses, b""),
    "embedding.svg": (lambda: bombs.embedding(bombs.png(20_000, 20_000)), b""),
    "frames.gif": (lambda: bombs.gif(1, 5_000), b""),
    "pages.tiff": (lambda: bombs.tiff(20_000), b""),
    "avif.avif": (lambda: bombs.avif(8_000, 6_000), b""),
}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as stage:
        yield stage


def all_is_well(server: FaultServer) -> bool:
    assert server.image("a.png", f"w={random.Random(server.port).randrange(50, 300)}").status == 200
    assert server.get("/readyz").status == 200
    assert psutil.Process(server.process.pid).memory_info().rss < SERVER_MEMORY
    assert [line for line in server.lines if "Traceback" in line] == []
    return until(lambda: server.figure("rendering") == server.figure("render_queue") == 0)


def test_bombs_are_refused_or_served_small_and_the_server_stays_sane(stage: Stage) -> None:
    for name, (make, _) in BOMBS.items():
        stage.put(name, make())
    server = stage.serve(**SETTINGS)
    answers = {name: server.begin(name, "w=100&fm=png") for name in BOMBS}
    for name, (_, said) in BOMBS.items():
        answer = answers[name].result()
        assert answer.status in CLEAN, name
        assert answer.status != 200 or decodes(answer.body), name
        assert said in answer.body, (name, answer.body)
        assert said == b"" or answer.status != 200, name
    assert all_is_well(server)


def test_damaged_files_are_refused_or_shown_and_never_an_error_of_the_server(stage: Stage) -> None:
    names = []
    for kind, data in seeds().items():
        for number, damaged in enumerate(mutations(data, 2)):
            names.append(f"{kind}-{number}.{random.Random(number).choice((kind, 'jpg', 'png', 'svg'))}")
            stage.put(names[-1], damaged)
    server = stage.serve(**SETTINGS)
    answers = {name: server.begin(name, "w=60&fm=webp") for name in names}
    wrong = {name: answer.result().status for name, answer in answers.items() if answer.result().status not in CLEAN}
    assert wrong == {}
    assert all(decodes(one.result().body) for one in answers.values() if one.result().status == 200)
    assert server.deaths() == 0
    assert all_is_well(server)


def test_an_error_names_no_path_and_is_not_kept_by_caches(stage: Stage) -> None:
    stage.put("torn.png", (stage.folder / "a.png").read_bytes()[:100_000])
    server = stage.serve()
    answer = server.image("torn.png", "w=60")
    assert (answer.status, answer.code, answer.headers["cache-control"]) == (422, "unreadable_image", "no-store")
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert not re.search(rb"originals|/tmp|Traceback|\.py", answer.body)


def test_a_repaired_file_is_served_although_its_former_state_crashed(stage: Stage) -> None:
    stage.put("bad.png", bombs.many_elements())
    server = stage.serve(RENDERING__MEMORY_BYTES="256MB", RENDERING__CRASH_MEMORY="1h")
    assert server.image("bad.png", "w=60").code == "render_crashed"
    stage.put("bad.png", (stage.folder / "a.png").read_bytes())
    assert until(lambda: server.image("bad.png", "w=60").status == 200)
