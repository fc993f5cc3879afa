"""Rendering processes that crash, hang or run out of memory, below a server that goes on."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bombs
from tests.acceptance.fault_server import SLOW, FaultServer, Stage, decodes, gone, staged
from tests.pictures import encoded, noise
from tests.servers import until

OUTPUTS = ("jpg", "png", "webp", "gif", "avif", "tiff")
SMALL_MEMORY: dict[str, Any] = {"RENDERING__MEMORY_BYTES": "256MB"}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as stage:
        yield stage


class Bystander:
    """A client who asks for ever new renditions of another picture while something is wrong."""

    def __init__(self, server: FaultServer) -> None:
        self.seen: list[int] = []
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        width = 50
        while not self._stop.wait(0.02):
            width += 1
            self.seen.append(self._server.image("b.jpg", f"w={width}").status)

    def leave(self) -> list[int]:
        self._stop.set()
        self._thread.join()
        return self.seen


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_picture_whose_process_dies_once_is_rendered_by_another(stage: Stage, number: int) -> None:
    server = stage.serve(**SLOW)
    answer = server.begin("a.png", "w=200&fm=avif")
    child = server.busy_child()
    child.send_signal(number)
    assert (answer.result().status, decodes(answer.result().body)) == (200, True)
    assert server.figure("render_process_deaths_total", reason="crash") == 1
    assert gone(child)


def test_a_file_whose_process_dies_twice_is_refused_for_a_while_and_then_tried_again(stage: Stage) -> None:
    server = stage.serve(**SLOW, RENDERING__CRASH_MEMORY="4s")
    answer = server.begin("a.png", "w=250&fm=avif")
    for _ in range(2):
        victim = server.busy_child()
        victim.kill()
        until(lambda victim=victim: gone(victim))  # type: ignore[misc]  # mypy does not infer such a lambda
    assert (answer.result().status, answer.result().code) == (422, "render_crashed")
    refused = [server.image("a.png", query) for query in ("w=250&fm=avif", "w=99&fm=png")]
    assert [one.code for one in refused] == ["render_crashed"] * 2
    assert (server.renders(), server.deaths()) == (1, 2)
    assert server.image("b.jpg", "w=50").status == 200
    assert until(lambda: server.image("a.png", "w=99&fm=png").status == 200)
    assert until(lambda: len(server.children()) == 1)


def test_a_file_that_crashes_every_process_costs_others_nothing(stage: Stage) -> None:
    stage.put("poison.svg", bombs.many_elements())
    server = stage.serve(**SMALL_MEMORY, RENDERING__PROCESSES=2, RENDERING__CRASH_MEMORY="1h")
    bystander = Bystander(server)
    answer = server.image("poison.svg", "w=50")
    assert (answer.status, answer.code) == (422, "render_crashed")
    again = [server.image("poison.svg", f"w={width}") for width in range(50, 60)]
    assert {one.code for one in again} == {"render_crashed"}
    assert server.deaths() == 2
    seen = bystander.leave()
    assert seen
    assert set(seen) == {200}
    assert until(lambda: len(server.children()) == 2)


def test_many_sizes_of_a_crashing_file_requested_at_once_do_not_burn_the_pool(stage: Stage) -> None:
    stage.put("poison.svg", bombs.many_elements())
    server = stage.serve(**SMALL_MEMORY, RENDERING__PROCESSES=2, RENDERING__CRASH_MEMORY="1h")
    answers = server.begin_many("poison.svg", [f"w={width}" for width in range(50, 56)])
    assert {answer.result().code for answer in answers} == {"render_crashed"}
    # Two processes may have begun on it before the first verdict, each with its second try.
    assert server.deaths() <= 4


def test_a_process_killed_while_idle_is_noticed_by_the_operator_only(stage: Stage) -> None:
    server = stage.serve()
    (child,) = server.children()
    child.kill()
    until(lambda: gone(child))
    assert server.image("a.png", "w=50").status == 200
    assert server.deaths() == 1
    assert until(lambda: len([child for child in server.children() if not gone(child)]) == 1)


def test_a_picture_over_time_is_refused_and_its_file_after_two_of_them(stage: Stage) -> None:
    server = stage.serve(**SLOW, RENDERING__TIME_LIMIT="1500ms", RENDERING__PROCESSES=2)
    bystander = Bystander(server)
    slow = [server.image("a.png", "w=1150&fm=avif"), server.image("a.png", "w=1149&fm=avif")]
    assert [(one.status, one.code) for one in slow] == [(422, "render_timeout")] * 2
    assert [one.seconds >= 1.5 for one in slow] == [True] * 2
    assert b"time_limit" in slow[0].body
    assert server.figure("render_process_deaths_total", reason="timeout") == 2
    for query in ("w=1148&fm=avif", "w=1150&fm=avif", "w=50&fm=png"):
        refused = server.image("a.png", query)
        assert (refused.status, refused.code) == (422, "render_timeout")
    assert server.figure("renders_total", result="render_timeout") == 2
    assert set(bystander.leave()) == {200}
    assert until(lambda: len([child for child in server.children() if not gone(child)]) == 2)


def test_one_picture_over_time_does_not_condemn_its_file(stage: Stage) -> None:
    server = stage.serve(**SLOW, RENDERING__TIME_LIMIT="1500ms")
    assert server.image("a.png", "w=1150&fm=avif").code == "render_timeout"
    assert server.image("a.png", "w=1150&fm=avif").code == "render_timeout"
    assert server.image("a.png", "w=50&fm=png").status == 200
    assert server.renders() == 2


def test_a_new_process_may_take_longer_to_start_than_a_picture_may_take(stage: Stage) -> None:
    stage.put("small.png", encoded(noise(40, 30), "png"))
    server = stage.serve(RENDERING__TIME_LIMIT="250ms")
    (child,) = server.children()
    child.kill()
    until(lambda: gone(child))
    assert server.image("small.png", "w=20").status == 200


def test_the_least_memory_that_may_be_set_is_enough_for_ordinary_pictures(stage: Stage) -> None:
    for kind in ("jpg", "png", "webp", "gif", "avif", "tiff", "heic"):
        stage.put(f"photo.{kind}", encoded(noise(640, 480), kind))
    server = stage.serve(**SMALL_MEMORY)
    asked = [(kind, output) for kind in ("jpg", "png", "webp", "gif", "avif", "tiff", "heic") for output in OUTPUTS]
    answers = {(kind, output): server.image(f"photo.{kind}", f"w=300&fm={output}").status for kind, output in asked}
    assert {pair: status for pair, status in answers.items() if status != 200} == {}
    assert server.deaths() == 0


def test_no_place_to_wait_still_means_a_process_to_render(stage: Stage) -> None:
    server = stage.serve(RENDERING__WAITING=0)
    assert server.image("a.png", "w=50").status == 200
