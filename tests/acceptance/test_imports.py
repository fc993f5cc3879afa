"""Imports on a running server: by the command line, and killed in the middle."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgserve.client.api import Imgserve
from tests import image_host
from tests.library_rig import picture
from tests.management import KEY
from tests.servers import imgserve, server

FILES = {f"/{number}.jpg": picture(9 * number, "jpg") for number in range(12)}


class _KilledError(Exception):
    """Leaves the block of a server, which kills it."""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with image_host.serving(FILES, pause=0.05) as found:
        yield found


def settings(host: str, **more: str) -> dict[str, str]:
    return {"IMGSERVE_ACCESS__ADMIN_KEY": KEY, **image_host.settings(host), **more}


def test_the_command_imports_a_table_and_saves_the_results(tmp_path: Path, host: str) -> None:
    (tmp_path / "originals").mkdir()
    table = tmp_path / "table.csv"
    rows = "".join(f"A-{number % 3},{host}/{number}.jpg\n" for number in range(6))
    table.write_text(f"SKU,Image URL\n{rows}")
    with server(tmp_path / "originals", env=settings(host)) as served:

        def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
            named = {"IMGSERVE_SERVER": served.base_url, "IMGSERVE_KEY": KEY}
            return imgserve("import", *arguments, cwd=tmp_path, **named)

        outs = [tmp_path / name for name in ("out.xlsx", "out.zip")]
        done = run(table, "--output", "width=20", "--export", outs[0], "--zip", outs[1])
        assert (done.returncode, done.stderr) == (0, "")
        assert "finished: 6 stored, 0 invalid rows" in done.stdout
        assert all(out.stat().st_size for out in outs)
        table.write_text(f"{table.read_text()}A,{host}/gone.jpg\nb c,{host}/1.jpg\n")
        again = run(table, "--wait")
        assert again.returncode == 1
        assert f"{host}/gone.jpg: The server responded with status 404." in again.stderr
        mistakes = run(table, "--analyze")
        assert (mistakes.returncode, "table.csv:9: SKU: expected letters" in mistakes.stderr) == (1, True)
        started = run(table, "--json")
        with Imgserve(served.base_url, key=KEY) as client:
            job_id = json.loads(started.stdout)["id"]
            *_, last = client.follow_import(job_id)
            assert (last.state, last.done) == ("finished", 7)
            assert [image.reason for image in client.import_images(job_id, states=["failed"])] != []
            assert client.retry_import(job_id) == 1
            assert len(list(client.imports())) == 3
            assert client.delete_import(job_id, images=True) == 0


def test_a_killed_server_loses_nothing_and_stores_nothing_twice(tmp_path: Path, host: str) -> None:
    originals = tmp_path / "originals"
    originals.mkdir()
    rows = "".join(f"P{number % 2},{host}/{number}.jpg\n" for number in range(12))
    env = settings(host, IMGSERVE_IMPORTS__CONCURRENCY="2")
    with contextlib.suppress(_KilledError), server(originals, env=env) as served:
        with Imgserve(served.base_url, key=KEY) as client:
            job_id = client.start_import(("table.csv", rows.encode()), output="width=10").job_id
            next(state for state in client.follow_import(job_id) if state.done)
        raise _KilledError  # and the server with all its processes
    with contextlib.suppress(_KilledError), server(originals, env=env) as served:
        with Imgserve(served.base_url, key=KEY) as client:
            next(state for state in client.follow_import(job_id) if state.done > 4)
        raise _KilledError
    with server(originals, env=env) as served, Imgserve(served.base_url, key=KEY) as client:
        assert [state.state for state in client.follow_import(job_id)][-1] == "finished"
        assert client.get_import(job_id).counts == {"stored": 12}
    stored = sorted(path.read_bytes() for path in (originals / "products").rglob("*.jpg"))
    assert stored == sorted(FILES.values())
