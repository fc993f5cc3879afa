"""More asked than can be rendered, and clients who do not wait for what they asked."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.fault_server import SLOW, FaultServer, Stage, decodes, gone, staged
from tests.servers import until

PLENTY = 500
DRIP_SECONDS = 10.0


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as stage:
        yield stage


def queued(server: FaultServer, number: int) -> bool:
    return until(lambda: server.figure("render_queue") == number)


def rendering(server: FaultServer, number: int) -> bool:
    return until(lambda: server.figure("rendering") == number)


def test_beyond_the_queue_clients_are_reported_at_once_to_come_back_and_hits_go_on(stage: Stage) -> None:
    server = stage.serve(RENDERING__WAITING=2)
    assert server.image("b.jpg", "w=10").status == 200
    with server.frozen():
        answers = server.begin_many("a.png", [f"w={width}" for width in range(20, 40)])
        refused = until(
            lambda: [a.result() for a in answers if a.done()] if sum(a.done() for a in answers) == 17 else []
        )
        assert {(one.status, one.code) for one in refused} == {(503, "busy")}
        assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
        assert (server.figure("rendering"), server.figure("render_queue")) == (1, 2)
        hit = server.image("b.jpg", "w=10")
        assert (hit.status, "hit" in hit.outcome) == (200, True)
        assert server.get("/healthz").status == 200
    rest = [answer.result() for answer in answers if answer.result() not in refused]
    assert [one.status for one in rest] == [200] * 3
    assert (server.figure("rendering"), server.figure("render_queue")) == (0, 0)
    assert server.image("a.png", "w=20").status == 200


def test_a_client_who_leaves_the_queue_frees_its_place_and_is_not_rendered_for(stage: Stage) -> None:
    server = stage.serve(RENDERING__WAITING=1)
    with server.frozen():
        first = server.begin("a.png", "w=20")
        rendering(server, 1)
        leaver = server.leave("a.png", "w=21")
        queued(server, 1)
        assert server.image("a.png", "w=22").status == 503
        leaver.close()
        queued(server, 0)
        second = server.begin("a.png", "w=22")
        queued(server, 1)
    assert (first.result().status, second.result().status) == (200, 200)
    assert server.renders() - server.figure("renders_total", result="busy") == 2


def test_one_of_several_who_leaves_takes_nothing_from_the_others(stage: Stage) -> None:
    server = stage.serve()
    with server.frozen():
        others = [server.begin("a.png", "w=20")]
        rendering(server, 1)
        leavers = [server.leave("a.png", "w=20") for _ in range(2)]
        others += server.begin_many("a.png", ["w=20"] * 4)
        for leaver in leavers:
            leaver.close()
        until(lambda: server.figure("requests_total", outcome="client_gone") == 2)
    assert [(answer.result().status, decodes(answer.result().body)) for answer in others] == [(200, True)] * 5
    assert server.renders() == 1


def test_a_client_who_requests_again_for_what_is_under_way_joins_it(stage: Stage) -> None:
    server = stage.serve(RENDERING__PROCESSES=2)
    with server.frozen():
        leaver = server.leave("a.png", "w=20")
        rendering(server, 1)
        leaver.close()
        until(lambda: server.figure("requests_total", outcome="client_gone") == 1)
        again = server.begin("a.png", "w=20")
        time.sleep(0.3)  # so that it arrives meanwhile; a later one would find the picture in memory
    assert again.result().status == 200
    rendering(server, 0)
    assert server.renders() == 1


def test_a_picture_that_nobody_waits_for_any_more_is_finished_and_kept(stage: Stage) -> None:
    server = stage.serve()
    with server.frozen() as children:
        leavers = [server.leave("a.png", "w=20") for _ in range(3)]
        rendering(server, 1)
        for leaver in leavers:
            leaver.close()
        until(lambda: server.figure("requests_total", outcome="client_gone") == 3)
    rendering(server, 0)
    until(lambda: server.renders() == 1)
    answer = server.image("a.png", "w=20")
    assert answer.status == 200
    assert "hit" in answer.outcome
    assert (server.renders(), server.deaths()) == (1, 0)
    assert server.children() == children


def test_a_picture_that_nobody_waits_for_any_more_reaches_the_disk(stage: Stage) -> None:
    server = stage.serve(CACHE__MEMORY_BYTES=0)
    with server.frozen():
        leaver = server.leave("a.png", "w=20")
        rendering(server, 1)
        leaver.close()
        until(lambda: server.figure("requests_total", outcome="client_gone") == 1)
    # Whoever asks before it is stored joins the flight, which is as good.
    assert until(lambda: "hit" in server.image("a.png", "w=20").outcome)
    assert server.renders() == 1


def test_five_hundred_at_once_for_one_cold_picture_are_one_rendering(stage: Stage) -> None:
    server = stage.serve(RENDERING__WAITING=1)
    with server.frozen():
        answers = server.begin_many("a.png", ["w=640"] * PLENTY)
        rendering(server, 1)
    seen = [answer.result() for answer in answers]
    assert {one.status for one in seen} == {200}
    assert len({one.body for one in seen}) == 1
    assert len({one.headers["etag"] for one in seen}) == 1
    assert decodes(seen[0].body)
    assert server.renders() == 1
    hits = sum("hit" in one.outcome for one in seen)
    assert server.figure("coalesced_total") == PLENTY - 1 - hits


def test_several_server_processes_render_one_cold_picture_once(stage: Stage) -> None:
    server = stage.serve(workers=2, RENDERING__PROCESSES=2)
    answers = server.begin_many("a.png", ["w=640"] * PLENTY)
    seen = [answer.result() for answer in answers]
    assert {one.status for one in seen} == {200}
    assert len({one.body for one in seen}) == 1
    assert server.renders() == 1


def test_five_hundred_at_once_for_one_bad_picture_are_one_rendering(stage: Stage) -> None:
    stage.put("torn.png", (stage.folder / "a.png").read_bytes()[:100_000])
    server = stage.serve(RENDERING__WAITING=1)
    with server.frozen():
        answers = server.begin_many("torn.png", ["w=640"] * PLENTY)
        rendering(server, 1)
    assert {(answer.result().status, answer.result().code) for answer in answers} == {(422, "unreadable_image")}
    assert server.renders() == 1


def test_slow_and_half_open_clients_are_closed_and_no_others(stage: Stage) -> None:
    server = stage.serve(SERVER__HEADER_TIMEOUT="1s", SERVER__KEEP_ALIVE="1s")
    silent, half, dripping = (socket.create_connection(("127.0.0.1", server.port)) for _ in range(3))
    half.sendall(b"GET /img/a.png HTTP/1.1\r\nHost: x\r\n")
    with silent, half, dripping:
        dripping.sendall(b"GET /img/a.png HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        closed = False
        while not closed and time.monotonic() - began < DRIP_SECONDS:
            time.sleep(0.2)
            try:
                dripping.sendall(b"X-Drip: 1\r\n")
            except OSError:
                closed = True
        for connection in (silent, half):
            connection.settimeout(DRIP_SECONDS)  # recv raises where the server does not close
            while connection.recv(4096):
                pass
        assert closed
    assert server.image("a.png", "w=20").status == 200


def test_a_term_signal_lets_a_picture_be_finished_and_leaves_no_process(stage: Stage) -> None:
    server = stage.serve(**SLOW, RENDERING__PROCESSES=2)
    children = server.children()
    answer = server.begin("a.png", "w=200&fm=avif")
    server.busy_child()
    assert server.stop(signal.SIGTERM) == 0
    assert (answer.result().status, decodes(answer.result().body)) == (200, True)
    until(lambda: all(gone(child) for child in children))
    assert not any("Traceback" in line for line in server.lines)


def test_a_term_signal_ends_a_server_whose_picture_does_not_end_within_the_grace_time(stage: Stage) -> None:
    server = stage.serve(**SLOW, SERVER__GRACE="500ms")
    children = server.children()
    answer = server.begin("a.png", "w=1200&fm=avif")
    server.busy_child()
    server.stop(signal.SIGTERM)
    until(lambda: all(gone(child) for child in children))
    assert answer.exception() is not None or answer.result().status >= 500
