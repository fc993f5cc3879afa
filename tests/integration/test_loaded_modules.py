"""What each command loads, which its start takes most of its time for."""

import json
import subprocess
import sys

import pytest

_PIXELS = {"pyvips", "PIL", "pi_heif"}
_LATER = {"alembic", "xlsxwriter", "yaml", "sqlalchemy.dialects.postgresql", "asyncpg", "redis", "opentelemetry"}
"""Of an upgrade of the catalog, a workbook, a settings file, PostgreSQL and the extras."""
_SERVER = {"pydantic", "sqlalchemy", "starlette", "uvicorn", "prometheus_client", "psutil"}


def _loaded(code: str) -> set[str]:
    program = f"{code}\nimport json, sys; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import imgserve.cli.serve", _PIXELS | _LATER),
        ("import imgserve.rendering.worker", {"asyncio", "pydantic", "sqlalchemy", "starlette", "imgserve.records"}),
        ("import imgserve.cli.images", _SERVER | _PIXELS | _LATER),
        ("import imgserve.cli.main", {"asyncio", "httpx2", *_SERVER, *_PIXELS, *_LATER}),
    ],
    ids=["server", "rendering process", "remote command", "command line"],
)
def test_a_process_loads_only_what_it_needs(code: str, absent: set[str]) -> None:
    assert _loaded(code) & absent == set()


def test_no_model_of_the_api_is_built_before_its_first_use() -> None:
    code = (
        "import imgserve.app\n"
        "from imgserve.web.api.messages import ResponseModel\n"
        "from imgserve.web.api.requests import RequestModel\n"
        "def below(kind):\n"
        "    return [kind, *(one for sub in kind.__subclasses__() for one in below(sub))]\n"
        "print([one.__name__ for one in below(ResponseModel) + below(RequestModel) if one.__pydantic_complete__])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
