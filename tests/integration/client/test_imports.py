"""What a program that only wants addresses has to load."""

import subprocess
import sys

import pytest

from tests.prefork import ROOT
from tests.servers import environment

HEAVY = ("pyvips", "pi_heif", "starlette", "uvicorn", "anyio", "asyncio", "pydantic", "yaml", "cachetools", "click",
         "prometheus_client", "sqlalchemy", "httpx2", "http.client", "socket", "ssl")  # fmt: skip


def _loaded(code: str) -> set[str]:
    program = f"import sys; {code}; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"sys = __import__('sys'); sys.path.insert(0, {str(ROOT)!r}); {program}"],
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize("code", ["import imgserve.client", "from imgserve.client import ImageUrls; ImageUrls('')"])
def test_the_client_loads_nothing_of_a_server(code: str) -> None:
    loaded = _loaded(code)
    assert "imgserve.client.urls" in loaded
    assert loaded.isdisjoint(HEAVY)
    ours = {name.split(".")[1] for name in loaded if name.startswith("imgserve.")}
    assert ours == {"client", "geometry", "http", "transform", "formats", "errors"}


def test_the_command_loads_nothing_of_a_server() -> None:
    loaded = _loaded("import imgserve.cli.renditions")
    assert loaded.isdisjoint({name for name in HEAVY if name in {"pyvips", "starlette", "pydantic", "yaml", "anyio"}})


def test_the_client_of_the_api_brings_the_network_and_nothing_of_a_server() -> None:
    loaded = _loaded("import imgserve.client.api")
    assert loaded.isdisjoint(set(HEAVY) - {"httpx2", "asyncio", "http.client", "socket", "ssl"})
    assert "httpx2" in loaded
