import asyncio
import contextlib
import gzip
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from httpcore2._backends.anyio import AnyIOStream

from imgserve.download import Downloader, FetchRules
from imgserve.errors import FetchFailed, FetchTooSlow, TooLarge
from tests.pictures import encoded, quarters
from tests.remote import Remote, ok, redirect, remote

pytestmark = pytest.mark.anyio

JPEG = encoded(quarters(), "jpg")
LIMIT = 200_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def there() -> AsyncIterator[Remote]:
    async with remote() as served:
        yield served


def rules(port: int, **others: float) -> FetchRules:
    values: dict[str, float] = {"seconds": 20.0, "idle_seconds": 10.0, **others}
    return FetchRules(
        LIMIT,
        seconds=values["seconds"],
        idle_seconds=values["idle_seconds"],
        least_rate=int(values.get("least_rate", 0)),
        ports=frozenset({port}),
        networks=("127.0.0.1",),
    )


async def fetch(there: Remote, path: str, **others: float) -> tuple[str, bytes]:
    written = bytearray()

    async def write(piece: bytes) -> None:
        written.extend(piece)

    downloader = Downloader(rules(there.port, **others))
    try:
        name = await downloader.fetch(f"http://127.0.0.1:{there.port}{path}", write)
    finally:
        await downloader.close()
    return name, bytes(written)


async def test_a_picture_is_fetched_as_it_is(there: Remote) -> None:
    there.answers["/a/shoe.jpg?v=1"] = ok(JPEG, "Content-Type: text/plain")
    assert await fetch(there, "/a/shoe.jpg?v=1") == ("shoe.jpg", JPEG)


async def test_nothing_of_ours_is_sent(there: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    there.answers["/a.jpg"] = ok(JPEG)
    await fetch(there, "/a.jpg")
    names = {line.partition(b":")[0].lower() for line in there.requests[0].split(b"\r\n")[1:] if line}
    assert names == {b"host", b"accept", b"accept-encoding", b"user-agent"}


async def test_redirects_are_followed(there: Remote) -> None:
    for number, status in enumerate((301, 302, 303, 307, 308)):
        there.answers[f"/{number}"] = redirect(f"/{number + 1}", status)
    there.answers["/5"] = ok(JPEG, 'Content-Disposition: attachment; filename="shoe.jpg"')
    assert await fetch(there, "/0") == ("shoe.jpg", JPEG)


async def test_six_redirects_are_too_many(there: Remote) -> None:
    for number in range(6):
        there.answers[f"/{number}"] = redirect(f"/{number + 1}")
    there.answers["/6"] = ok(JPEG)
    with pytest.raises(FetchFailed, match="redirects more than 5 times"):
        await fetch(there, "/0")
    assert len(there.requests) == 6


@pytest.mark.parametrize("location", ["/a", "?", ""])
async def test_a_circle_of_redirects_ends(there: Remote, location: str) -> None:
    there.answers["/a"] = there.answers["/a?"] = redirect(location)
    with pytest.raises(FetchFailed, match="redirects more than 5 times"):
        await fetch(there, "/a")


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 404, 500, 503])
async def test_other_statuses_are_no_picture(there: Remote, status: int) -> None:
    there.answers["/a"] = b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status
    with pytest.raises(FetchFailed, match=f"status {status}"):
        await fetch(there, "/a")


@pytest.mark.parametrize(
    "answer",
    [
        ok(JPEG, length=len(JPEG) + 1),
        ok(JPEG, length=len(JPEG) + 50_000),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(JPEG), JPEG),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + JPEG,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail.example ESMTP\r\n\r\n",
        b"",
        ok(gzip.compress(JPEG)[:-20], "Content-Encoding: gzip"),
        ok(b"\x1f\x8bno gzip at all", "Content-Encoding: gzip"),
        ok(JPEG, "Content-Encoding: br"),
    ],
)
async def test_an_answer_that_is_not_whole_fails(there: Remote, answer: bytes) -> None:
    there.answers["/a"] = answer
    with pytest.raises(FetchFailed):
        await fetch(there, "/a")


@pytest.mark.parametrize(
    ("coding", "packed"),
    [("gzip", gzip.compress(JPEG)), ("x-gzip", gzip.compress(JPEG)), ("deflate", zlib.compress(JPEG))],
)
async def test_what_comes_packed_is_unpacked(there: Remote, coding: str, packed: bytes) -> None:
    there.answers["/a"] = ok(packed, f"Content-Encoding: {coding}")
    assert (await fetch(there, "/a"))[1] == JPEG


async def test_what_comes_without_a_length_is_read_to_its_end(there: Remote) -> None:
    there.answers["/a"] = b"HTTP/1.0 200 OK\r\n\r\n" + JPEG
    assert (await fetch(there, "/a"))[1] == JPEG


async def test_a_declared_length_beyond_the_limit_is_not_read(there: Remote) -> None:
    there.answers["/a"] = ok(JPEG, length=LIMIT + 1)
    with pytest.raises(TooLarge):
        await fetch(there, "/a")


async def test_an_endless_body_is_cut_after_the_limit_and_one_piece(
    there: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = received = 0
    read = AnyIOStream.read

    async def counted(*args: Any, **options: Any) -> bytes:
        nonlocal received
        data = await read(*args, **options)
        received += len(data)
        return data

    monkeypatch.setattr(AnyIOStream, "read", counted)

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + JPEG)
        while True:
            writer.write(bytes(65_536))
            await writer.drain()
            sent += 65_536

    there.answers["/a"] = endless
    with pytest.raises(TooLarge):
        await fetch(there, "/a")
    assert received <= LIMIT + 65_536
    assert sent < LIMIT + (16 << 20)  # what the kernel's buffers hold besides


async def test_a_small_answer_that_inflates_to_much_is_cut(there: Remote) -> None:
    bomb = gzip.compress(JPEG + bytes(100 << 20))
    assert len(bomb) < LIMIT
    there.answers["/a"] = ok(bomb, "Content-Encoding: gzip")
    with pytest.raises(TooLarge):
        await fetch(there, "/a")


async def test_a_slow_drip_is_given_up_at_the_deadline(there: Remote) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for octet in JPEG:
            writer.write(bytes([octet]))
            await asyncio.sleep(0.02)

    there.answers["/a"] = drip
    with pytest.raises(FetchFailed, match=r"within 0\.3 seconds"):
        await fetch(there, "/a", seconds=0.3)


async def test_a_server_that_sends_too_slowly_is_given_up_long_before_the_deadline(
    there: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgserve.download.downloader._INTERVAL", 0.2)

    async def slowing(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + JPEG)  # a fast start must not pay for the rest
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    there.answers["/a"] = slowing
    with anyio.fail_after(15), pytest.raises(FetchTooSlow, match="fewer than 1000 bytes per second"):
        await fetch(there, "/a", least_rate=1000)


async def test_a_server_that_sends_fast_enough_is_read(there: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgserve.download.downloader._INTERVAL", 0.1)

    async def steady(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(20):
            writer.write(bytes(5000))
            await writer.drain()
            await asyncio.sleep(0.02)

    there.answers["/a"] = steady
    assert len((await fetch(there, "/a", least_rate=1000))[1]) == 100_000


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\n", ok(JPEG, length=100_000)])
async def test_a_silent_server_is_given_up(there: Remote, begin: bytes) -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        await asyncio.sleep(60)

    there.answers["/a"] = silent
    with pytest.raises(FetchFailed, match="in time"):
        await fetch(there, "/a", idle_seconds=0.2)


async def test_interim_answers_without_end_are_given_up(there: Remote) -> None:
    async def early(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await asyncio.sleep(0.01)

    there.answers["/a"] = early
    with pytest.raises(FetchFailed, match=r"within 0\.3 seconds"):
        await fetch(there, "/a", seconds=0.3)


async def test_a_closed_port_fails() -> None:
    free = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    with pytest.raises(FetchFailed, match="connected"):
        await fetch(Remote(port), "/a")


@pytest.mark.parametrize("closings", [1, 2])
async def test_a_connection_closed_before_it_is_used_again_is_replaced_once(there: Remote, closings: int) -> None:
    left = [True] * closings

    async def close(writer: asyncio.StreamWriter) -> None:
        if left:
            left.pop()
            return
        writer.write(ok(JPEG))
        await writer.drain()

    async def drop(_piece: bytes) -> None:
        pass

    there.answers["/first"], there.answers["/second"] = ok(JPEG, "Connection: keep-alive"), close
    downloader, url = Downloader(rules(there.port)), f"http://127.0.0.1:{there.port}"
    await downloader.fetch(f"{url}/first", drop)
    with contextlib.nullcontext() if closings == 1 else pytest.raises(FetchFailed):
        await downloader.fetch(f"{url}/second", drop)
    await downloader.close()
    assert (len(there.requests), there.connections) == (3, 2)


async def test_an_error_of_the_writer_is_the_callers(there: Remote) -> None:
    there.answers["/a"] = ok(JPEG)

    async def full(_piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    downloader = Downloader(rules(there.port))
    with pytest.raises(OSError, match="No space"):
        await downloader.fetch(f"http://127.0.0.1:{there.port}/a", full)
    await downloader.close()


async def test_many_pictures_are_fetched_at_once(there: Remote) -> None:
    there.answers["/a"] = ok(JPEG, "Connection: keep-alive")
    sizes: list[int] = []

    downloader = Downloader(rules(there.port))

    async def one() -> None:
        written = bytearray()

        async def write(piece: bytes) -> None:
            await asyncio.sleep(0)
            written.extend(piece)

        await downloader.fetch(f"http://127.0.0.1:{there.port}/a", write)
        sizes.append(len(written))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(one)
    await downloader.close()
    assert sizes == [len(JPEG)] * 50
    assert there.connections <= 20


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    name = "pictures.example"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    files = ["-addext", f"subjectAltName=DNS:{name}", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("host", "known", "fine"),
    [("pictures.example", True, True), ("other.example", True, False), ("pictures.example", False, False)],
)
async def test_certificates_are_checked_by_name_over_the_checked_address(
    certificate: Path, host: str, known: bool, fine: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    trusted = ssl.create_default_context(cafile=certificate / "cert.pem" if known else None)
    async with remote(context) as there:
        there.answers["/a"] = ok(JPEG)
        downloader = Downloader(rules(there.port), resolve=resolve, ssl_context=trusted)
        written: list[bytes] = []

        async def write(piece: bytes) -> None:
            written.append(piece)

        with contextlib.nullcontext() if fine else pytest.raises(FetchFailed, match="connected"):
            await downloader.fetch(f"https://{host}:{there.port}/a", write)
        await downloader.close()
    assert b"".join(written) == (JPEG if fine else b"")
    assert asked == [host]
