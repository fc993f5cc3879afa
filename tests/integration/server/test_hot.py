"""Patience with connections whose requests are all answered hot: idle, dripping, not reading, at the end."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgserve.app import create_app
from imgserve.config import Config
from imgserve.server.connection import TimedHttpProtocol, Timeouts
from imgserve.server.hot import hot_path_of
from tests.pictures import encoded, noise
from tests.raw_http import AnswerReader, raw, talk
from tests.servers import settled, until
from tests.threads import ThreadServer, thread_server

PATIENT = Timeouts(headers=60, body_idle=60, keep_alive=60, slow_reader=60)
QUICK = Timeouts(headers=0.4, body_idle=0.4, keep_alive=0.4, slow_reader=0.4)
STEADY = Timeouts(headers=1.2, body_idle=1.2, keep_alive=1.2, slow_reader=1.2)
"""Limits that a client meets who pauses for a fraction of them, on a busy machine too."""
SMALL = raw("GET /img/noise.jpg?width=100 HTTP/1.1\nHost: a")
LARGE = raw("GET /img/noise.jpg?width=800&format=png HTTP/1.1\nHost: a")
RANGE = raw("GET /img/noise.jpg?width=100 HTTP/1.1\nHost: a\nRange: bytes=0-9")
OVERDUE = 8.0
"""Within these seconds a limit of 0.4 has taken effect, also on a busy machine."""


@contextlib.contextmanager
def serving(place: Path, timeouts: Timeouts) -> Iterator[ThreadServer]:
    """Serve one picture in two sizes, both of which are hot already."""
    settled(place / "originals/noise.jpg", encoded(noise(), "jpg"))
    settings = {"originals": {"recheck": 600}}
    with thread_server(place / "originals", place / "cache", timeouts=timeouts, settings=settings) as served:
        with served.connect() as connection:
            talk(connection, [SMALL, LARGE])
        yield served


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadServer]:
    with serving(tmp_path_factory.mktemp("patient"), PATIENT) as served:
        yield served


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadServer]:
    with serving(tmp_path_factory.mktemp("quick"), QUICK) as served:
        yield served


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadServer]:
    with serving(tmp_path_factory.mktemp("steady"), STEADY) as served:
        yield served


@pytest.fixture
def client(quick: ThreadServer) -> Iterator[socket.socket]:
    with quick.connect() as connection:
        yield connection


@pytest.fixture
def steady_client(steady: ThreadServer) -> Iterator[socket.socket]:
    with steady.connect() as connection:
        yield connection


def hot(served: ThreadServer, client: socket.socket, request: bytes = SMALL) -> float:
    """Request, make sure that the answer was hot, and return the time just before."""
    before, began = served.hot.responses, time.monotonic()
    [answer] = talk(client, [request])
    assert answer.status == "HTTP/1.1 200 OK"
    assert served.hot.responses == before + 1
    return began


def seconds_until_closed(client: socket.socket, since: float, drip: bytes = b"") -> float:
    """Wait until the server closes, dripping bytes meanwhile; return the seconds since then."""
    client.settimeout(0.1)
    while time.monotonic() < since + 10:
        try:
            if drip:
                client.sendall(drip)
            if not client.recv(1 << 16):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - since


def test_an_idle_connection_is_closed_after_the_keep_alive_time(quick: ThreadServer, client: socket.socket) -> None:
    asked = hot(quick, client)
    assert 0.3 < seconds_until_closed(client, asked) < OVERDUE


@pytest.mark.parametrize("drip", [b"\r\n", b"G"])
def test_an_idle_connection_is_closed_whatever_is_dripped(
    quick: ThreadServer, client: socket.socket, drip: bytes
) -> None:
    asked = hot(quick, client)
    assert seconds_until_closed(client, asked, drip) < OVERDUE


def test_a_head_that_does_not_end_is_waited_for_as_long_as_the_first(
    quick: ThreadServer, client: socket.socket
) -> None:
    hot(quick, client)
    begun = time.monotonic()
    client.sendall(SMALL[:-2])
    assert 0.3 < seconds_until_closed(client, begun) < OVERDUE


@pytest.mark.parametrize("others", [[], [RANGE]], ids=["hot alone", "ordinary ones between"])
def test_a_connection_with_repeated_requests_stays_open(
    steady: ThreadServer, steady_client: socket.socket, others: list[bytes]
) -> None:
    for _ in range(12):
        hot(steady, steady_client)
        for other in others:
            talk(steady_client, [other])
        time.sleep(0.15)
    hot(steady, steady_client)


def test_an_idle_connection_is_closed_after_ordinary_and_hot_requests(
    steady: ThreadServer, steady_client: socket.socket
) -> None:
    talk(steady_client, [RANGE])
    time.sleep(0.4)
    asked = hot(steady, steady_client)
    assert 1.1 < seconds_until_closed(steady_client, asked) < OVERDUE


def test_a_client_that_does_not_read_is_cut_off_and_takes_no_memory(quick: ThreadServer, client: socket.socket) -> None:
    hot(quick, client)
    open_ones = [one for one in quick.server.server_state.connections if isinstance(one, TimedHttpProtocol)]
    [connection] = [one for one in open_ones if one.client == client.getsockname()]
    before = quick.hot.responses
    with contextlib.suppress(BlockingIOError, ConnectionError):
        client.setblocking(False)
        for _ in range(400):
            client.sendall(LARGE)
    waiting = 0
    while connection in quick.server.server_state.connections:
        waiting = max(waiting, connection.transport.get_write_buffer_size())
        time.sleep(0.02)
    assert 0 < waiting < 3_000_000
    assert quick.hot.responses - before < 30


def test_a_client_that_reads_slowly_but_steadily_gets_everything(
    steady: ThreadServer, steady_client: socket.socket
) -> None:
    client = steady_client
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    whole = steady.connect()
    [expected] = talk(whole, [LARGE])
    whole.close()
    client.sendall(LARGE * 6)
    received, end = bytearray(), 6 * len(expected.body)
    while len(received) < end:
        piece = client.recv(200_000)
        assert piece
        received += piece
        time.sleep(0.02)
    assert received.count(expected.body) == 6


def test_a_burst_of_requests_in_one_packet_is_answered_in_order(patient: ThreadServer) -> None:
    before = patient.hot.responses
    with patient.connect() as client:
        answers = talk(client, [SMALL, LARGE, RANGE, SMALL, LARGE] * 20)
    assert patient.hot.responses > before
    assert len(answers) == 100
    assert {answer.body for answer in answers[::5]} == {answers[3].body}
    assert [len(answer.body) for answer in answers[2::5]] == [10] * 20


def test_heads_in_pieces_do_not_add_up_over_requests(patient: ThreadServer) -> None:
    before, padded = patient.hot.responses, SMALL[:-2] + b"X-Padding: " + b"x" * 3000 + b"\r\n\r\n"
    with patient.connect() as client:
        for _ in range(25):
            talk(client, [padded], splits=(20, 3000))
    assert patient.hot.responses == before + 25


def test_the_server_ends_at_once_with_idle_hot_connections(tmp_path: Path) -> None:
    with contextlib.ExitStack() as clients:
        with serving(tmp_path, PATIENT) as served:
            connections = [clients.enter_context(served.connect()) for _ in range(5)]
            for connection in connections:
                hot(served, connection)
            started = time.monotonic()
        assert time.monotonic() - started < 4
        assert [connection.recv(10) for connection in connections] == [b""] * 5


def test_an_answer_on_its_way_is_finished_when_the_server_ends(tmp_path: Path) -> None:
    with contextlib.ExitStack() as clients, serving(tmp_path, PATIENT) as served:
        client = clients.enter_context(served.connect())
        client.sendall(LARGE * 3)
        until(lambda: served.hot.responses >= 2)
        served.server.should_exit = True
        reader = AnswerReader(client)
        first = reader.read()
        assert first is not None
        assert reader.read() == first


def test_a_wrapped_application_receives_every_request(tmp_path: Path) -> None:
    settled(tmp_path / "originals/noise.jpg", b"")
    sections = {"originals": {"folder": tmp_path / "originals"}, "cache": {"folder": tmp_path / "cache"}}
    app = create_app(Config.model_validate(sections))

    async def wrapped(*arguments: object) -> None:
        await app(*arguments)  # type: ignore[arg-type]  # whatever ASGI gives

    assert hot_path_of(app) is app.state.hot_path
    assert hot_path_of(wrapped) is None


def test_a_failure_of_ours_while_a_request_begins_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(tmp_path, Timeouts()) as served, served.connect() as connection:
        monkeypatch.setattr(served.hot, "_look_up", lambda _key: 1 / 0)
        [answer] = talk(connection, [SMALL])
    assert answer.status == "HTTP/1.1 400 Bad Request"
    assert "division by zero" in caplog.text
