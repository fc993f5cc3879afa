"""libvips as the rendering processes have it."""

import pytest

from imgserve.pipeline import facts, jobs, load
from imgserve.pipeline.jobs import Discipline


@pytest.fixture(autouse=True, scope="session")
def prepared() -> None:
    load.prepare()


@pytest.fixture(autouse=True)
def _undisciplined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work done in the process of the tests must not take memory and priority from the tests that follow."""

    def enter(_discipline: Discipline) -> None:
        return

    for module in (facts, jobs):
        monkeypatch.setattr(module, "enter", enter)
