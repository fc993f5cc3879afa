"""libvips as the rendering processes use it."""

import pytest

from imgserve.pipeline import load


@pytest.fixture(autouse=True, scope="session")
def prepared() -> None:
    load.prepare()
