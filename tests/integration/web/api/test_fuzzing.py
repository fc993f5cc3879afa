"""The endpoints keep to the document, whatever comes."""

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import uvicorn
from anyio import to_thread
from openapi_spec_validator import validate
from starlette.types import ASGIApp

from tests.api_house import KEY, Caller, calling
from tests.fuzzing import fuzz

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Caller]:
    """A server of its own: which database it has does not matter here."""
    async with calling(tmp_path, f"sqlite:///{tmp_path}/catalog.sqlite") as made:
        yield made


@contextlib.asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application on a real socket."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    # With the protocol named asyncio sends small answers at once, else each of them waits for 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True


async def test_every_answer_is_as_the_document_says(api: Caller, tmp_path: Path) -> None:
    for number, image_id in enumerate(("shoes/red.jpg", "a", "b/c d", "0")):
        await api.record(image_id, number, title="Röd", tags=("x",))
    api.home.put("broken.jpg", b"\xff\xd8\xff no picture")
    await api.home.door.record("broken.jpg", background=False)
    async with listening(api.app) as url:
        await to_thread.run_sync(fuzz, url, KEY, tmp_path)


async def test_the_document_is_one(api: Caller) -> None:
    document = (await api.get("/openapi.json")).json()
    validate(document)
    assert document["openapi"] == "3.1.0"
    operations = [one for item in document["paths"].values() for one in item.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] and one["description"] and one["x-scope"] for one in operations)
    assert all(parameter["description"] for one in operations for parameter in one.get("parameters", []))
