"""A server that is killed at any point of an import finishes it after a restart: nothing is lost or stored twice."""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from imgserve.catalog import ImportQueue
from imgserve.download import Downloader
from imgserve.images.warm import Warmer
from imgserve.jobs import runner, spread, webhooks
from imgserve.library.record import RecordWriter
from tests import redis_server
from tests.importing import Importer, importing
from tests.integration.jobs.test_imports import sections
from tests.integration.jobs.test_webhooks import Receiver, deliveries
from tests.library_rig import picture
from tests.prefork import PreforkedProcess
from tests.remote import Remote, ok

pytestmark = pytest.mark.anyio

NUMBER = 10
POINTS: dict[str, tuple[Any, str, int]] = {
    "queued": (ImportQueue, "claim", 1),
    "fetching": (Downloader, "fetch_changed", 2),
    "placed": (RecordWriter, "commit", 2),
    "recorded": (ImportQueue, "finish", 2),
    "rendering": (Warmer, "warm", 2),
    "webhook": (ImportQueue, "note_delivery", 1),
}
"""Methods before which the process is killed, and at which call."""


def die_before(kind: Any, name: str, number: int) -> None:
    """Let a call of a method kill this process."""
    plain, calls = getattr(kind, name), itertools.count(1)

    def method(*arguments: Any, **named: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments, **named)

    setattr(kind, name, method)


def hurry() -> None:
    """Look for work often, and take what a dead process has claimed or offered for lost soon."""
    runner._LOOK_SECONDS = webhooks._LOOK_SECONDS = 0.05
    webhooks._CLAIM = spread._OFFER = timedelta(seconds=0.5)


async def dying(point: str, folder: str, given: str, rows: str, query: str) -> None:
    """Work on imports, and on a new one if there are rows, in a process that is killed at a point."""
    hurry()
    die_before(*POINTS[point])
    async with importing(Path(folder), **json.loads(given)) as importer:
        if rows:
            await importer.start(json.loads(rows), query)
        await asyncio.sleep(120)


@pytest.fixture(params=["sqlite", "redis", "postgresql"])
def places(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Provide the URLs of a queue and of a catalog; empty for none and a file."""
    if request.param == "sqlite":
        yield "", ""
    elif request.param == "redis":
        with redis_server.serving() as server:
            yield server.url, ""
    else:
        database = request.getfixturevalue("postgres")
        yield database.new_database(), database.new_database()


async def test_an_import_survives_kills_at_every_point(
    tmp_path: Path, there: Remote, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((webhooks, "_CLAIM"), (spread, "_OFFER")):
        monkeypatch.setattr(module, name, getattr(module, name))  # restored after the test
    hurry()
    queue, catalog = places
    # With a queue, fewer: all but the dispatch is the same.
    points = [point for point in POINTS if not queue or point in {"fetching", "recorded", "rendering", "webhook"}]
    files = {f"/{number}.jpg": picture(9 * number, "jpg") for number in range(NUMBER)}
    there.answers |= {path: ok(data) for path, data in files.items()}
    receiver = Receiver()
    listening = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    given = sections(there, webhook_ports=[port]) | {"jobs": {"queue": queue}, "catalog": {"url": catalog}}
    rows = [(f"P{number % 2}", f"http://127.0.0.1:{there.port}{path}") for number, path in enumerate(files)]
    query = f"?output=width%3D10&webhook=http%3A%2F%2F127.0.0.1%3A{port}%2Fhook"
    async with listening:
        for point in points:
            new = json.dumps(rows) if point == points[0] else ""
            with PreforkedProcess(["-m", __name__, point, str(tmp_path), json.dumps(given), new, query]) as process:
                assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL
            if queue.startswith("unix"):
                Redis.from_url(queue).flushall()
        async with importing(tmp_path, **given) as importer:
            await _is_whole(importer, tmp_path, files, receiver)
    asked = [request.split(b" ")[1].decode() for request in there.requests]
    assert set(asked) == set(files)
    assert len(asked) <= NUMBER + len(points) * 4  # of one host at a time


async def _is_whole(importer: Importer, folder: Path, files: dict[str, bytes], receiver: Receiver) -> None:
    """Assert that each image is stored once with its record, and that the webhook has one message."""
    (job,) = (await importer.get("/api/imports"))["imports"]
    assert (await importer.until(job["id"]))["counts"] == {"stored": NUMBER}
    items, originals = await importer.items(job["id"]), folder / "originals"
    stored = {str(path.relative_to(originals)): path.read_bytes() for path in originals.rglob("*.jpg")}
    assert stored == {item["image_id"]: data for item, data in zip(items, files.values(), strict=True)}
    assert (await importer.get("/api/totals"))["images"] == NUMBER
    for item in items:
        record = await importer.get(f"/api/images/{item['image_id']}")
        assert record["metadata"]["import"]["url"] == item["url"]
    (call,) = await deliveries(importer, job["id"], "delivered")
    assert {headers["webhook-id"] for headers, _ in receiver.calls} == {call["id"]}
    assert len({body for _, body in receiver.calls}) == 1


if __name__ == "__main__":
    asyncio.run(dying(*sys.argv[1:]))
