"""Pictures in every format, of a synthetic photograph of six megapixels."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from imgserve.formats import FORMATS
from imgserve.pipeline.render import render
from imgserve.transform import Transform

WRITABLE = [name for name, known in FORMATS.items() if known.writable]


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("width", [400, 1200])
def test_render(benchmark: BenchmarkFixture, photograph: bytes, name: str, width: int) -> None:
    transform = Transform(width=width, format=name)
    made = benchmark(render, photograph, transform)
    assert made.width == width
