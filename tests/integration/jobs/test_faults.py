"""Imports on a full disk and with a locked catalog: they wait, and finish when that is over."""

import asyncio
import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.disks import mount
from tests.importing import PATIENCE, importing
from tests.integration.jobs.test_imports import sections
from tests.pictures import encoded, noise
from tests.remote import Remote, ok

pytestmark = pytest.mark.anyio

NUMBER = 6


def offer(there: Remote) -> list[tuple[str, str]]:
    """Let the host have pictures of more than 50 kB; return the rows of a table."""
    base = f"http://127.0.0.1:{there.port}"
    for number in range(NUMBER):
        there.answers[f"/{number}.png"] = ok(encoded(noise(150 + number, 130), "png"))
    return [("A", f"{base}/{number}.png") for number in range(NUMBER)]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Provide a small disk for originals."""
    place = tmp_path / "originals"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=160k", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)  # noqa: S607  as in tests.disks


async def test_an_import_waits_for_space(tmp_path: Path, there: Remote, full_disk: Path) -> None:
    rows = offer(there)
    async with importing(tmp_path, **sections(there)) as importer:
        job_id = await importer.start(rows)
        await importer.when(job_id, lambda job: bool(job["counts"].get("stored")))
        with anyio.fail_after(PATIENCE):
            while True:
                if any(one["reason"] for one in await importer.items(job_id, "?state=queued")):
                    break
                await anyio.sleep(0.02)
        mount("-o", "remount,size=4m", str(full_disk))
        assert (await importer.until(job_id))["counts"] == {"stored": NUMBER}
        assert len(list(full_disk.rglob("products/A/*.png"))) == NUMBER


async def test_an_import_waits_for_a_locked_catalog(tmp_path: Path, there: Remote) -> None:
    rows, locked = offer(there), anyio.Event()
    late = there.answers["/0.png"]

    async def when_locked(writer: asyncio.StreamWriter) -> None:
        await locked.wait()
        assert isinstance(late, bytes)
        writer.write(late)
        await writer.drain()

    there.answers["/0.png"] = when_locked
    async with importing(tmp_path, catalog={"patience": 2}, **sections(there)) as importer:
        job_id = await importer.start(rows)
        path = tmp_path / "data/catalog.sqlite"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
            await anyio.to_thread.run_sync(other.execute, "BEGIN IMMEDIATE")
            locked.set()
            await importer.when(job_id, lambda _: importer.parts.catalog.database.state.startswith("degraded"))
        assert (await importer.until(job_id))["counts"] == {"stored": NUMBER}
        assert len(list((tmp_path / "originals").rglob("*.png"))) == NUMBER
