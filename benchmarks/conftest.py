"""Fixtures of the suites: one synthetic photograph and the values of a request for it."""

from pathlib import Path

import pytest

from imgserve.cache import RenditionKey
from imgserve.formats import FORMATS
from imgserve.model import Original, Rendition
from imgserve.pipeline import load
from tests.pictures import encoded, noise


@pytest.fixture(scope="session")
def photograph() -> bytes:
    """A progressive JPEG of six megapixels."""
    load.prepare()
    return encoded(noise(3000, 2000), "jpg", Q=90, interlace=True)


@pytest.fixture
def original(tmp_path: Path) -> Original:
    return Original(
        "products/shoe.jpg", "18a5b2c3d4e5f607-1e8480", 2_000_000, 1_700_000_000_000_000_000,
        FORMATS["jpg"], 3000, 2000, str(tmp_path / "shoe.jpg"),
    )  # fmt: skip


@pytest.fixture
def key() -> RenditionKey:
    return RenditionKey(
        "products/shoe.jpg", "18a5b2c3d4e5f607-1e8480", "format=webp&height=300&width=400", "0a1b2c3d", "webp"
    )


@pytest.fixture
def rendition() -> Rendition:
    return Rendition(bytes(range(256)) * 120, "image/webp", 400, 300)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, object]) -> None:  # noqa: ARG001  the hook's arguments
    """Remove the name of the machine from the stored baseline."""
    machine_info["node"] = "anywhere"
