"""The document of the API is one of OpenAPI 3.1, and says all of each operation."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from tests.api_rig import Caller, calling

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Caller]:
    """A server of its own: which database it has does not matter here."""
    async with calling(tmp_path, f"sqlite:///{tmp_path}/catalog.sqlite") as made:
        yield made


async def test_the_document_is_one(api: Caller) -> None:
    document = (await api.get("/openapi.json")).json()
    validate(document)
    assert document["openapi"] == "3.1.0"
    operations = [one for item in document["paths"].values() for one in item.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] and one["description"] for one in operations)
    assert all(one.get("x-scope") or one["security"] == [] for one in operations)
    assert all(parameter["description"] for one in operations for parameter in one.get("parameters", []))
