"""The cost of a request without its picture, and of a whole hit without a socket."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture
from starlette.applications import Starlette

from imgserve.app import create_app, lifespan
from imgserve.config import Config
from imgserve.http.conditional import evaluate, request_conditions
from imgserve.http.headers import _classify, accept_class

ACCEPT = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
KEY = "0123456789abcdef0123456789abcdef"
ETAG = f'"{KEY}-01234567"'
HITS = 100
HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", ACCEPT.encode()),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"connection", b"keep-alive"),
]


def test_class_of_an_accept_header_seen_before(benchmark: BenchmarkFixture) -> None:
    assert benchmark(accept_class, ACCEPT) == ("avif", "webp")


def test_class_of_a_new_accept_header(benchmark: BenchmarkFixture) -> None:
    assert benchmark(_classify, ACCEPT) == ("avif", "webp")


def test_request_without_conditions(benchmark: BenchmarkFixture) -> None:
    assert benchmark(lambda: evaluate(request_conditions(HEADERS), key=KEY, last_modified=1)) == "proceed"


def test_if_none_match(benchmark: BenchmarkFixture) -> None:
    headers = [*HEADERS, (b"if-none-match", ETAG.encode())]
    assert benchmark(lambda: evaluate(request_conditions(headers), key=KEY, last_modified=1)) == "not_modified"


class Site:
    """The whole application on a loop of its own, without a socket."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._stop = asyncio.Event()
        opened = asyncio.Event()
        self._life = self._runner.get_loop().create_task(self._live(opened))
        self._runner.run(_first(opened.wait(), self._life))

    async def _live(self, opened: asyncio.Event) -> None:
        async with lifespan(self._app):
            opened.set()
            await self._stop.wait()

    def ask(self, path: str, times: int, *headers: tuple[bytes, bytes]) -> set[int]:
        """Send a request so many times; return the statuses."""
        return self._runner.run(self._ask(path, times, [*HEADERS, *headers]))

    async def _ask(self, path: str, times: int, headers: list[tuple[bytes, bytes]]) -> set[int]:
        statuses = set()

        async def send(message: Any) -> None:
            if "status" in message:
                statuses.add(message["status"])

        async def receive() -> Any:
            await asyncio.Event().wait()

        for _ in range(times):
            await self._app(_scope(path, headers), receive, send)
        return statuses

    def close(self) -> None:
        self._stop.set()
        with self._runner as runner:
            runner.run(_first(self._life))


async def _first(*awaitables: Any) -> None:
    await asyncio.wait(map(asyncio.ensure_future, awaitables), return_when=asyncio.FIRST_COMPLETED)


def _scope(path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }


@pytest.fixture
def site(tmp_path: Path, photograph: bytes) -> Iterator[Site]:
    originals = tmp_path / "originals"
    originals.mkdir()
    (originals / "one.jpg").write_bytes(photograph)
    os.utime(originals / "one.jpg", (1_700_000_000, 1_700_000_000))
    sections = {
        "originals": {"folder": originals},
        "cache": {"folder": tmp_path / "cache"},
        "rendering": {"processes": 1},
        "log": {"access": "off"},
    }
    made = Site(create_app(Config.model_validate(sections)))
    yield made
    made.close()


def test_a_hundred_hits(benchmark: BenchmarkFixture, site: Site) -> None:
    assert site.ask("/img/one.jpg?width=400", 1) == {200}
    assert benchmark(site.ask, "/img/one.jpg?width=400", HITS) == {200}


def test_a_hundred_answers_of_not_modified(benchmark: BenchmarkFixture, site: Site) -> None:
    unmodified = (b"if-none-match", b"*")
    assert benchmark(site.ask, "/img/one.jpg?width=400", HITS, unmodified) == {304}
