"""Imports that a queue spreads, in Redis and PostgreSQL: a queue that is emptied loses nothing."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from imgserve.jobs import spread
from tests import redis_server
from tests.importing import importing
from tests.integration.jobs.test_imports import sections
from tests.library_rig import picture
from tests.remote import Remote, ok

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["redis", "postgresql"])
def queue(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "redis":
        with redis_server.serving() as server:
            yield server.url
    else:
        yield request.getfixturevalue("postgres").new_database()


async def test_every_image_is_stored_although_the_queue_was_emptied(
    tmp_path: Path, there: Remote, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "_OFFER", timedelta(seconds=1))
    there.answers |= {f"/{number}.png": ok(picture(number)) for number in range(8)}
    rows = [(f"P{number}", f"http://127.0.0.1:{there.port}/{number}.png") for number in range(8)]
    async with importing(tmp_path, jobs={"queue": queue}, **sections(there)) as importer:
        job_id = await importer.start(rows)
        if not queue.startswith("postgres"):
            await importer.when(job_id, lambda job: job["counts"] != {"queued": 8})
            Redis.from_url(queue).flushall()
        assert (await importer.until(job_id))["counts"] == {"stored": 8}
        assert len(there.requests) == 8
