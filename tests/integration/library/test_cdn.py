"""Caches in front are told over real sockets: what, how often, and again where they do not answer."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

import pytest
from prometheus_client import CollectorRegistry

from imgserve.http.headers import image_tag
from imgserve.library import cdn
from imgserve.library.cdn import Call, CdnPurger, Cloudflare, Drop, Hook, PlainPurge, Varnish
from imgserve.metrics import Metrics

Make = Callable[[str], list[Hook]]


class Cache:
    """A server that records calls and answers with given statuses, then 200."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.calls: list[tuple[str, bytes]] = []
        self.called = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
                body = await reader.readexactly(int(length[0].split(":")[1])) if length else b""
                self.calls.append((head, body))
                status = self.statuses.pop(0) if self.statuses else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())
                self.called.set()
        writer.close()

    @property
    def told(self) -> set[bytes]:
        """Bodies, each once: a call that is cut off before its answer is repeated."""
        return {body for _, body in self.calls}

    async def until(self, calls: int) -> None:
        async with asyncio.timeout(30):
            while len(self.calls) < calls:
                self.called.clear()
                await self.called.wait()


@contextlib.asynccontextmanager
async def purging(cache: Cache, make: Make, give_up: float = 60) -> AsyncIterator[CdnPurger]:
    server = await asyncio.start_server(cache.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    a_purger = CdnPurger(make(f"http://127.0.0.1:{port}"), Metrics(CollectorRegistry()), give_up=give_up)
    task = asyncio.create_task(a_purger.run())
    try:
        yield a_purger
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()


def cloudflare(url: str) -> list[Hook]:
    return [Cloudflare("zone", "token", url)]


def run(work: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 60))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdn, "_FIRST_PAUSE", 0.01)


def test_purges_of_one_moment_are_one_call() -> None:
    async def work() -> None:
        cache = Cache()
        async with purging(cache, cloudflare) as a_purger:
            a_purger.purged(["a.jpg"])
            a_purger.purged(["b.jpg", "a.jpg"], ["p-card"])
            await cache.until(1)
        [body] = cache.told
        assert json.loads(body) == {"tags": [image_tag("a.jpg"), image_tag("b.jpg"), "p-card"]}

    run(work)


def test_a_cache_that_is_in_trouble_is_reported_again() -> None:
    async def work() -> None:
        cache = Cache("503 Busy", "429 Slow", "500 Oh")
        async with purging(cache, cloudflare) as a_purger:
            a_purger.purged(["a.jpg"])
            await cache.until(4)
        assert len(cache.told) == 1

    run(work)


@pytest.mark.parametrize(("status", "give_up"), [("403 No", 60.0), ("503 Busy", 0.0)])
def test_what_is_not_taken_is_logged_without_the_token(
    caplog: pytest.LogCaptureFixture, status: str, give_up: float
) -> None:
    async def work() -> None:
        cache = Cache(status)
        async with purging(cache, cloudflare, give_up) as a_purger:
            a_purger.purged(["a.jpg"])
            await cache.until(1)
            a_purger.purged(["b.jpg"])
            await cache.until(2)

    with caplog.at_level(logging.ERROR, "imgserve"):
        run(work)
    assert "cloudflare did not accept POST http://127.0.0.1" in caplog.text
    assert status.split(maxsplit=1)[0] in caplog.text
    assert "token" not in caplog.text


def test_an_address_that_cannot_be_requested_blocks_no_other() -> None:
    async def work() -> None:
        cache = Cache()
        async with purging(cache, lambda url: [PlainPurge(url, "")]) as a_purger:
            a_purger.purged(["x" * 70_000, "\ud800", "a"])
            await cache.until(2)
        assert {head.split()[1] for head, _ in cache.calls} == {"/a", "/a*"}

    run(work)


def test_a_cache_that_cannot_be_reported_blocks_no_other_and_nothing_later(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(PlainPurge):
        def calls(self, drop: Drop) -> Iterator[Call]:
            raise ValueError(drop.image_ids)

    async def work() -> None:
        cache = Cache()
        async with purging(cache, lambda url: [Odd(url, "", "odd"), Varnish(url)]) as a_purger:
            for number in (1, 2):
                a_purger.purged([str(number)])
                await cache.until(number)

    run(work)
    assert "odd could not be purged" in caplog.text


def test_what_still_waits_at_the_end_is_reported() -> None:
    async def work() -> None:
        cache = Cache()
        async with purging(cache, cloudflare) as a_purger:
            await asyncio.sleep(0)
            a_purger.purged(None)
        assert {body: json.loads(body) for body in cache.told} == {b'{"tags": ["imgserve"]}': {"tags": ["imgserve"]}}

    run(work)


def test_very_many_images_are_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdn, "_MOST_IMAGES", 10)

    async def work() -> None:
        cache = Cache()
        async with purging(cache, lambda url: [Varnish(url)]) as a_purger:
            a_purger.purged([str(number) for number in range(11)])
            await cache.until(1)
        assert {head.split()[0] for head, _ in cache.calls} == {"BAN"}
        assert {head.count("(imgserve)") for head, _ in cache.calls} == {1}

    run(work)


def test_a_cache_that_is_down_does_not_hold_up_another() -> None:
    async def work() -> None:
        cache = Cache()
        down: Hook = Varnish("http://127.0.0.1:9")
        async with purging(cache, lambda url: [down, Varnish(url)]) as a_purger:
            a_purger.purged(["a.jpg"])
            await cache.until(1)

    run(work)
