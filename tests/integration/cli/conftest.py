"""A server that speaks the API, and the command line that talks to it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api_server import KEY, ApiServer, api_server
from tests.servers import Run, imgserve


@pytest.fixture(scope="session")
def serving() -> Iterator[ApiServer]:
    with api_server() as served:
        yield served


@pytest.fixture
def api(serving: ApiServer) -> ApiServer:
    serving.forget()
    return serving


@pytest.fixture
def run(api: ApiServer, tmp_path: Path) -> Run:
    """Runs a command for the server, in a folder of its own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        done = imgserve("--server", api.base_url, *arguments, cwd=tmp_path, IMGSERVE_KEY=KEY)
        assert "Traceback" not in done.stderr
        return done

    return run
