"""Clients that are refused while they are still sending."""

import contextlib
import socket
import time

import pytest

from tests.prefork import PATIENCE
from tests.raw_http import AnswerReader, raw
from tests.servers import Server

_HEAD = """
POST /img/shoe.jpg HTTP/1.1
Host: localhost
"""


def connected(site: Server) -> socket.socket:
    return socket.create_connection(site.address, timeout=PATIENCE)


@pytest.mark.parametrize("fields", ["Content-Length: 1000000000\n", "Transfer-Encoding: chunked\n"])
def test_a_large_body_is_refused_before_it_is_sent(site: Server, fields: str) -> None:
    with connected(site) as connection:
        connection.sendall(raw(_HEAD + fields))
        answer = AnswerReader(connection).read()
        assert answer is not None
        assert answer.status == "HTTP/1.1 405 Method Not Allowed"
        assert answer.header("connection") == "close"
        assert connection.recv(1) == b""


def test_a_client_that_awaits_permission_gets_a_refusal_instead(site: Server) -> None:
    with connected(site) as connection:
        connection.sendall(raw(_HEAD + "Expect: 100-continue\nContent-Length: 1000000000\n"))
        answer = AnswerReader(connection).read()
        assert answer is not None
        assert answer.status == "HTTP/1.1 405 Method Not Allowed"


def test_a_client_that_goes_on_sending_can_read_the_answer(site: Server) -> None:
    with connected(site) as connection:
        connection.sendall(raw(_HEAD + "Content-Length: 1000000000\n"))
        sent, begun = 0, time.monotonic()
        while sent < 30_000_000:
            sent += connection.send(bytes(100_000))
        answer = AnswerReader(connection).read()
        assert answer is not None
        assert answer.status == "HTTP/1.1 405 Method Not Allowed"
        assert time.monotonic() - begun < PATIENCE


def test_a_client_that_never_stops_sending_is_cut_off(site: Server) -> None:
    with connected(site) as connection:
        connection.sendall(raw(_HEAD + "Content-Length: 1000000000000\n"))
        with contextlib.suppress(ConnectionError):
            for _ in range(10_000):
                connection.sendall(bytes(10_000))
                time.sleep(0.01)
            pytest.fail("still connected")


def test_a_small_body_that_nobody_wants_does_not_cost_the_connection(site: Server) -> None:
    with connected(site) as connection:
        reader = AnswerReader(connection)
        for _ in range(3):
            connection.sendall(raw(_HEAD + "Content-Length: 1000\n") + bytes(1000))
            answer = reader.read()
            assert answer is not None
            assert answer.status == "HTTP/1.1 405 Method Not Allowed"
            assert answer.header("connection") == ""
