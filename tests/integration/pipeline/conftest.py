"""libvips as the rendering processes have it."""

import pytest

from imgserve.pipeline import vips


@pytest.fixture(autouse=True, scope="session")
def prepared() -> None:
    vips.prepare()
