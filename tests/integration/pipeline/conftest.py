"""libvips as the rendering processes have it."""

import pytest

from imgserve.pipeline import facts, process, vips
from imgserve.pipeline.process import Discipline


@pytest.fixture(autouse=True, scope="session")
def prepared() -> None:
    vips.prepare()


@pytest.fixture(autouse=True)
def _undisciplined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work done in the process of the tests must not take memory and priority from the tests that follow."""

    def enter(_discipline: Discipline) -> None:
        return

    for module in (facts, process):
        monkeypatch.setattr(module, "enter", enter)
