"""Impatience with slow, half-open and hostile clients, on real sockets."""

import asyncio
import functools
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from imgserve.server.connection import Timeouts
from imgserve.server.process import ServerOptions, WorkerServer, _config
from imgserve.server.sockets import bind, unbind
from tests.prefork import PATIENCE
from tests.servers import until

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
QUICK = Timeouts(headers=0.4, body_idle=0.4, keep_alive=0.4, slow_reader=0.4)
STEADY = Timeouts(headers=1.2, body_idle=1.2, keep_alive=1.2, slow_reader=1.2)
"""Limits that a client meets who pauses for a tenth of them, on a busy machine too."""
PATIENT = Timeouts(headers=30, body_idle=30, keep_alive=30, slow_reader=30)
LARGE = 30_000_000  # more than two kernel buffers hold


@dataclass(frozen=True, slots=True)
class Connect:
    """Opens connections to a running server."""

    server: WorkerServer
    address: tuple[str, int]
    clients: ExitStack

    def __call__(self) -> socket.socket:
        return self.clients.enter_context(socket.create_connection(self.address, timeout=10))

    def wait_for_end(self, address: tuple[str, int]) -> None:
        """Wait until the server has nothing to do any more with the client at this address."""
        until(lambda: not self.is_open(address))

    def is_open(self, address: tuple[str, int]) -> bool:
        """Return whether the server has a connection with the client at this address."""
        connections = list(self.server.server_state.connections)
        return address in [one.client for one in connections]  # type: ignore[union-attr]  # no websockets


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(1.2)
    body = scope["path"].encode()
    if scope["path"] == "/large":
        body = b"x" * LARGE
    elif scope["path"] == "/headers":
        await asyncio.sleep(0.2)
        body = json.dumps(sorted(name.decode() for name, _ in scope["headers"])).encode()
    elif scope["method"] == "POST":
        body = await whole_body(receive)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def whole_body(receive: Receive) -> bytes:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    return body


@contextmanager
def serving(timeouts: Timeouts, max_connections: int = 100) -> Iterator[Connect]:
    """Run a server in a thread; give a way to connect to it, and close what was connected."""
    options = ServerOptions(timeouts=timeouts, max_connections=max_connections, grace=1.0)
    sockets = bind("127.0.0.1", 0)
    address = sockets[0].getsockname()
    ready = threading.Event()
    server = WorkerServer(_config(app, options), ready.set)
    thread = threading.Thread(target=functools.partial(server.run, sockets))
    thread.start()
    assert ready.wait(PATIENCE)
    with ExitStack() as clients:
        yield Connect(server, address, clients)
    server.should_exit = True
    thread.join(PATIENCE)
    unbind(sockets)


@pytest.fixture(scope="module")
def quick() -> Iterator[Connect]:
    with serving(QUICK) as connect:
        yield connect


@pytest.fixture(scope="module")
def steady() -> Iterator[Connect]:
    with serving(STEADY) as connect:
        yield connect


@pytest.fixture(scope="module")
def patient() -> Iterator[Connect]:
    with serving(PATIENT) as connect:
        yield connect


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


def read_all(client: socket.socket) -> bytes:
    """Read until the server closes; a reset ends it as well."""
    received = bytearray()
    try:
        while piece := client.recv(1 << 20):
            received += piece
    except ConnectionResetError:
        pass
    return bytes(received)


def read_until(client: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        piece = client.recv(65536)
        assert piece, received
        received += piece
    return received


def drip(client: socket.socket, data: bytes, pause: float = 0.1) -> float:
    """Send byte by byte until the server closes; return the seconds until then."""
    begun = time.monotonic()
    client.settimeout(pause)
    for value in data * 1000:
        assert time.monotonic() - begun < 10, "never closed"
        try:
            client.send(bytes([value]))
            if client.recv(100) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - begun


def test_a_client_that_sends_nothing_is_closed(quick: Connect) -> None:
    assert read_all(quick()) == b""


def test_half_sent_headers_are_closed(quick: Connect) -> None:
    client = quick()
    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
    assert read_all(client) == b""


def test_headers_dripped_byte_by_byte_are_closed(quick: Connect) -> None:
    client = quick()
    client.sendall(b"GET / HTTP/1.1\r\nX: ")
    assert drip(client, b"a") < 2


def test_half_sent_headers_of_a_second_request_are_closed(quick: Connect) -> None:
    client = quick()
    client.sendall(get("/one"))
    read_until(client, b"/one")
    client.sendall(b"GET /two HTTP/1.1\r\nX: ")
    assert drip(client, b"a") < 2


def test_an_idle_connection_is_closed_even_if_empty_lines_are_dripped(quick: Connect) -> None:
    client = quick()
    client.sendall(get("/one"))
    read_until(client, b"/one")
    assert drip(client, b"\r\n") < 2


def test_a_body_that_pauses_is_closed(quick: Connect) -> None:
    client = quick()
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    assert read_all(client) == b""


def test_a_slow_but_steady_body_is_accepted(steady: Connect) -> None:
    client = steady()
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
    for _ in range(10):
        time.sleep(0.15)
        client.sendall(b"x")
    assert read_until(client, b"x" * 10).startswith(b"HTTP/1.1 200")


def test_the_ignored_body_of_an_answered_request_cannot_be_dripped_for_ever(quick: Connect) -> None:
    client = quick()
    client.sendall(b"GET /one HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
    read_until(client, b"/one")
    assert drip(client, b"x") < 2


def test_a_client_that_does_not_read_is_aborted(quick: Connect) -> None:
    client = quick()
    client.sendall(get("/large"))
    until(lambda: quick.is_open(client.getsockname()))
    quick.wait_for_end(client.getsockname())
    assert len(read_all(client)) < LARGE


def test_a_client_that_requests_to_close_and_does_not_read_is_aborted(quick: Connect) -> None:
    client = quick()
    client.sendall(get("/large", "Connection: close"))
    until(lambda: quick.is_open(client.getsockname()))
    quick.wait_for_end(client.getsockname())
    assert len(read_all(client)) < LARGE


def test_a_client_that_reads_slowly_but_steadily_gets_everything(steady: Connect) -> None:
    client = steady()
    client.sendall(get("/large", "Connection: close"))
    received = 0
    while piece := client.recv(400_000):
        received += len(piece)
        time.sleep(0.02)
    assert received > LARGE


def test_an_answer_that_takes_long_to_make_is_waited_for(quick: Connect) -> None:
    client = quick()
    client.sendall(get("/slow") + b"GET /half")
    assert read_until(client, b"/slow").startswith(b"HTTP/1.1 200")


def test_connections_stay_open_and_requests_may_be_pipelined(patient: Connect) -> None:
    client = patient()
    for _ in range(3):
        client.sendall(get("/one"))
        read_until(client, b"/one")
    client.sendall(get("/two") + get("/three") + get("/four"))
    received = read_until(client, b"/four")
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.index(b"/two") < received.index(b"/three")


@pytest.mark.parametrize(
    "rubbish",
    [b"rubbish\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"CONNECT a:80 HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02"],
)
def test_what_cannot_be_parsed_is_answered_with_a_problem(patient: Connect, rubbish: bytes) -> None:
    client = patient()
    client.sendall(rubbish)
    head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\ndate: ")
    for header in (b"content-type: application/problem+json", b"cache-control: no-store", b"connection: close"):
        assert header in head
    assert json.loads(body)["code"] == "bad_request"


def test_a_bad_request_behind_a_good_one_does_not_break_its_answer(patient: Connect) -> None:
    client = patient()
    client.sendall(get("/headers") + get("/two") + b"rubbish\r\n\r\n")
    received = read_all(client)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.endswith(b"/two")


def test_a_broken_body_is_answered_with_a_problem(patient: Connect) -> None:
    client = patient()
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n")
    assert read_all(client).startswith(b"HTTP/1.1 400")


def test_an_endless_head_is_refused(patient: Connect) -> None:
    client = patient()
    client.sendall(b"GET / HTTP/1.1\r\n")
    received = b""
    client.settimeout(0.01)
    for number in range(100_000):
        try:
            client.sendall(b"X-%d: %s\r\n" % (number, b"y" * 1000))
            received = client.recv(65536)
        except TimeoutError:
            continue
        break
    assert received.startswith(b"HTTP/1.1 400")
    assert b"larger than 65536 bytes" in received


def test_trailers_do_not_become_headers(patient: Connect) -> None:
    client = patient()
    head = b"POST /headers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    client.sendall(head + b"1\r\nx\r\n0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
    received = read_until(client, b"]")
    assert json.loads(received.partition(b"\r\n\r\n")[2]) == ["host", "transfer-encoding"]


def test_an_offer_to_upgrade_is_declined_by_an_ordinary_answer(patient: Connect) -> None:
    client = patient()
    client.sendall(get("/one", "Connection: Upgrade", "Upgrade: websocket"))
    received = read_all(client)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.endswith(b"/one")


def test_a_connection_above_the_limit_receives_503_until_another_closes() -> None:
    with serving(PATIENT, max_connections=2) as connect:
        guests = [connect(), connect()]
        for guest in guests:
            guest.sendall(get("/one"))
            read_until(guest, b"/one")
        extra = connect()
        extra.sendall(get("/one"))
        head, _, body = read_all(extra).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable")
        for header in (b"retry-after: 1", b"connection: close", b"content-type: application/problem+json"):
            assert header in head
        assert json.loads(body)["code"] == "unavailable"
        left = guests[0].getsockname()
        guests[0].close()
        connect.wait_for_end(left)
        again = connect()
        again.sendall(get("/one"))
        assert read_until(again, b"/one").startswith(b"HTTP/1.1 200")
