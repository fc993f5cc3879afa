"""What USAGE.md says of the API is so: its examples are run by a shell, with curl."""

import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from anyio import to_thread

from tests.api_house import KEY, Caller, calling, listening

pytestmark = pytest.mark.anyio
USAGE = Path(__file__).parents[4] / "USAGE.md"
_SECTION = re.compile(r"^## The API\n(.*?)^## ", re.DOTALL | re.MULTILINE)
_SHELL = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^curl .*?(?<!\\)$", re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """List every command of the section, in order."""
    (section,) = _SECTION.findall(USAGE.read_text(encoding="utf-8"))
    return [command for block in _SHELL.findall(section) for command in _COMMAND.findall(block)]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Caller]:
    async with calling(tmp_path, f"sqlite:///{tmp_path}/catalog.sqlite") as made:
        yield made


def run(command: str, url: str) -> str:
    """Run a command as it stands, against another server, and give its answer."""
    environment = {**os.environ, "IMGSERVE_KEY": KEY}
    shell = command.replace("http://127.0.0.1:8000", url).replace(
        "curl ", "curl -sS --fail-with-body --noproxy '*' ", 1
    )
    done = subprocess.run(
        ["/bin/sh", "-c", shell], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


async def test_every_example_of_the_api_does_what_it_says(api: Caller) -> None:
    await api.record("shoes/red.png", 1, tags=("summer",))
    await api.record("shoes/blue.png", 2, tags=("new",))
    told = commands()
    assert len(told) == 15
    async with listening(api.app) as url:
        answers = [await to_thread.run_sync(run, command, url) for command in told]
    assert '"next":null' in answers[0]
    assert '"id":"shoes/red.png"' in answers[0]
    assert '"title":"Red shoe"' in answers[5]
    assert answers[6] == '{"changed":2}'
    assert '"trash_item"' in answers[11]
    assert '"id":"shoes/red.png"' in answers[12]
    assert '"images":1' in answers[14]
