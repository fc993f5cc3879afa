"""The endpoints keep to the document, whatever comes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from anyio import to_thread
from openapi_spec_validator import validate

from tests.api_rig import KEY, Caller, calling, listening
from tests.fuzzing import fuzz

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Caller]:
    """A server of its own: which database it has does not matter here."""
    async with calling(tmp_path, f"sqlite:///{tmp_path}/catalog.sqlite") as made:
        yield made


async def test_every_answer_is_as_the_document_says(api: Caller, tmp_path: Path) -> None:
    for number, image_id in enumerate(("shoes/red.jpg", "a", "b/c d", "0")):
        await api.record(image_id, number, title="Röd", tags=("x",))
    api.rig.put("broken.jpg", b"\xff\xd8\xff no picture")
    await api.rig.ingest.record("broken.jpg", background=False)
    async with listening(api.app) as url:
        await to_thread.run_sync(fuzz, url, KEY, tmp_path)


async def test_the_document_is_one(api: Caller) -> None:
    document = (await api.get("/openapi.json")).json()
    validate(document)
    assert document["openapi"] == "3.1.0"
    operations = [one for item in document["paths"].values() for one in item.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] and one["description"] for one in operations)
    assert all(one.get("x-scope") or one["security"] == [] for one in operations)
    assert all(parameter["description"] for one in operations for parameter in one.get("parameters", []))
