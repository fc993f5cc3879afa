"""Uploads that are large, slow, cut off, or come when there is no room; and what is left of them."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api_frame import KEY
from tests.disks import mount
from tests.forms import FORM, closing, form, opening
from tests.integration.web.conftest import UploadServer, upload_server
from tests.pictures import encoded, noise, quarters
from tests.prefork import PATIENCE
from tests.raw_http import AnswerReader, RawAnswer, raw
from tests.servers import until

JPEG = encoded(quarters(), "jpg")
LIMIT = 2_000_000


@pytest.fixture(scope="module")
def taking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UploadServer]:
    folder = tmp_path_factory.mktemp("originals")
    catalog = tmp_path_factory.mktemp("catalog") / "catalog.sqlite"
    with upload_server(folder, catalog, max_bytes=LIMIT, request_bytes=3 * LIMIT) as running:
        yield running


@contextlib.contextmanager
def connected(taking: UploadServer) -> Iterator[socket.socket]:
    with socket.create_connection(taking.served.address, timeout=PATIENCE) as connection:
        yield connection


def head(*fields: str, target: str = "POST /api/images") -> bytes:
    return raw("\n".join([f"{target} HTTP/1.1", "Host: localhost", f"X-API-Key: {KEY}", *fields]))


def answered(connection: socket.socket) -> RawAnswer:
    answer = AnswerReader(connection).read(b"POST")
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    ("target", "content_type", "length"),
    [
        ("POST /api/images", "image/jpeg", LIMIT + 1),
        ("POST /api/images", FORM, 3 * LIMIT + 1),
        ("POST /api/images", "application/json", LIMIT),
        ("PUT /api/images/a.jpg", "image/jpeg", LIMIT + 1),
        ("PUT /api/images/a.jpg", FORM, 3 * LIMIT),
    ],
)
def test_a_body_that_says_that_it_is_too_large_is_not_read(
    taking: UploadServer, target: str, content_type: str, length: int
) -> None:
    with connected(taking) as connection:
        connection.sendall(head(f"Content-Type: {content_type}", f"Content-Length: {length}", target=target))
        answer = answered(connection)
        assert answer.status.startswith("HTTP/1.1 413 ")
        assert answer.header("connection") == "close"
        assert connection.recv(1) == b""


def test_a_client_that_requests_first_is_reported_before_it_sends(taking: UploadServer) -> None:
    fields = ["Content-Type: image/jpeg", "Expect: 100-continue"]
    with connected(taking) as connection:
        connection.sendall(head(*fields, f"Content-Length: {LIMIT + 1}"))
        assert answered(connection).status.startswith("HTTP/1.1 413 ")
    with connected(taking) as connection:
        connection.sendall(head(*fields, f"Content-Length: {len(JPEG)}"))
        assert answered(connection).status == "HTTP/1.1 100 Continue"
        connection.sendall(JPEG)
        assert answered(connection).status in {"HTTP/1.1 201 Created", "HTTP/1.1 200 OK"}


@pytest.mark.parametrize("way", ["raw", "form"])
def test_a_body_without_end_is_cut_at_the_limit(taking: UploadServer, way: str) -> None:
    before = taking.files()
    content_type = FORM if way == "form" else "image/jpeg"
    with connected(taking) as connection:
        connection.sendall(head(f"Content-Type: {content_type}", "Transfer-Encoding: chunked"))
        first = opening("file", "a.jpg") + JPEG if way == "form" else JPEG
        with contextlib.suppress(ConnectionError):
            for piece in [first, *[bytes(100_000)] * 80]:
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        assert answered(connection).status.startswith("HTTP/1.1 413 ")
    assert until(lambda: taking.files() == before)


def test_something_else_is_refused_at_its_beginning(taking: UploadServer) -> None:
    with connected(taking) as connection:
        connection.sendall(head("Content-Type: video/mp4", f"Content-Length: {LIMIT}") + bytes(10_000))
        assert answered(connection).status == "HTTP/1.1 415 Unsupported Media Type"


@pytest.mark.parametrize("way", ["raw", "form", "put"])
def test_a_client_that_leaves_leaves_nothing(taking: UploadServer, way: str) -> None:
    before = taking.files()
    target = "PUT /api/images/left.jpg" if way == "put" else "POST /api/images"
    content_type = FORM if way == "form" else "image/jpeg"
    first = opening("file", "left.jpg") + JPEG if way == "form" else JPEG
    with connected(taking) as connection:
        connection.sendall(head(f"Content-Type: {content_type}", f"Content-Length: {LIMIT}", target=target))
        connection.sendall(first + bytes(900_000))
        until(lambda: len(taking.files()) > len(before))
    assert until(lambda: taking.files() == before)


def test_a_form_that_breaks_off_after_whole_files_leaves_nothing(taking: UploadServer) -> None:
    before = taking.files()
    body = form([("f", f"{number}.jpg", encoded(quarters(50 + number, 30), "jpg")) for number in range(3)])
    with connected(taking) as connection:
        connection.sendall(head(f"Content-Type: {FORM}", f"Content-Length: {len(body)}") + body[: -len(closing())])
        until(lambda: len(taking.files()) >= len(before) + 2)
    assert until(lambda: taking.files() == before)


def test_a_slow_body_arrives(taking: UploadServer) -> None:
    data = encoded(quarters(61, 30), "jpg")
    with connected(taking) as connection:
        connection.sendall(head("Content-Type: image/jpeg", f"Content-Length: {len(data)}"))
        for octet in data[:100]:
            connection.sendall(bytes([octet]))
            time.sleep(0.002)
        connection.sendall(data[100:])
        assert answered(connection).status == "HTTP/1.1 201 Created"


def test_an_idle_client_is_cut_off_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "originals"
    folder.mkdir()
    with (
        upload_server(folder, tmp_path / "catalog.sqlite", body_idle=0.5) as taking,
        connected(taking) as connection,
    ):
        connection.sendall(head("Content-Type: image/jpeg", "Content-Length: 900000") + JPEG + bytes(500_000))
        assert until(taking.files)
        assert connection.recv(1) == b""
        assert until(lambda: taking.files() == [])


def test_a_server_that_is_killed_in_the_middle_leaves_nothing_that_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "originals"
    folder.mkdir()
    catalog = tmp_path / "catalog.sqlite"
    with contextlib.suppress(AssertionError), upload_server(folder, catalog) as taking, connected(taking) as connection:
        connection.sendall(head("Content-Type: image/jpeg", "Content-Length: 900000", target="PUT /api/images/a.jpg"))
        connection.sendall(JPEG + bytes(500_000))
        until(taking.files)
        os.kill(taking.served.process.pid, signal.SIGKILL)
        taking.served.process.wait(PATIENCE)
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert left
    assert all(".imgserve" in path.parts for path in left)
    with upload_server(folder, catalog) as taking:
        assert taking.put("a.jpg", content=JPEG).status_code == 201


@pytest.mark.parametrize("way", ["raw", "form", "put"])
def test_a_full_disk_is_reported_and_nothing_is_left(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "originals"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    large = encoded(noise(2400, 1800), "png", compression=1)
    assert len(large) > 1_100_000
    try:
        with upload_server(folder, tmp_path / "catalog.sqlite", max_bytes=100_000_000) as taking:
            answer = {
                "raw": lambda: taking.post(content=large),
                "form": lambda: taking.post(files={"file": ("large.png", large)}),
                "put": lambda: taking.put("large.png", content=large),
            }[way]()
            assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
            assert taking.files() == []
            assert taking.put("small.jpg", content=JPEG).status_code == 201
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607  wherever the system has it


@pytest.mark.parametrize("way", ["raw", "form"])
def test_a_large_body_is_never_held_in_memory(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "originals"
    folder.mkdir()
    with upload_server(folder, tmp_path / "catalog.sqlite", max_bytes=200_000_000, request_bytes=200_000_000) as taking:
        assert taking.post(content=JPEG).status_code == 201
        before, most = taking.memory(), 0
        start = opening("file", "a.jpg") + JPEG if way == "form" else JPEG
        end = b"\r\n" + closing() if way == "form" else b""
        size = len(start) + 100 * 1_000_000 + len(end)
        with connected(taking) as connection:
            content_type = FORM if way == "form" else "image/jpeg"
            connection.sendall(head(f"Content-Type: {content_type}", f"Content-Length: {size}") + start)
            for _ in range(100):
                connection.sendall(bytes(1_000_000))
                most = max(most, taking.memory())
            connection.sendall(end)
            # What follows the end of a JPEG is no part of the picture.
            assert answered(connection).status in {"HTTP/1.1 200 OK", "HTTP/1.1 201 Created"}
        assert most - before < 20_000_000
