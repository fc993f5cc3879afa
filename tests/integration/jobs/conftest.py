"""Imports from a web server of the test."""

from collections.abc import AsyncIterator

import pytest

from imgserve.jobs import runner, webhooks
from tests.remote import Remote, remote


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def there() -> AsyncIterator[Remote]:
    async with remote() as served:
        yield served


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for work often."""
    monkeypatch.setattr(runner, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(webhooks, "_LOOK_SECONDS", 0.05)
