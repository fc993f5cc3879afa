"""From a query to a plan: the cost of every new URL, without pixels."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from imgserve.formats import FORMATS
from imgserve.geometry.box import Size
from imgserve.geometry.plan import plan
from imgserve.transform import canonical, normalize, parse_query

QUERIES = {
    "one": "width=400",
    "usual": "w=400&h=300&fit=crop&fm=webp&q=75",
    "many": (
        "w=400&h=300&fit=crop&crop=focalpoint&fp-x=0.3&fp-y=0.7&fp-z=2&fm=webp&q=75&dpr=2&rot=90&flip=h&bg=fff"
        "&rect=10,10,900,700"
    ),
}
JPG, WEBP = FORMATS["jpg"], FORMATS["webp"]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_parse_settle_and_canonical_text(benchmark: BenchmarkFixture, query: str) -> None:
    def named() -> str:
        return canonical(normalize(parse_query(query).transform, JPG, WEBP))

    assert "width=" in benchmark(named)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_plan(benchmark: BenchmarkFixture, query: str) -> None:
    transform = normalize(parse_query(query).transform, JPG, WEBP)
    made = benchmark(plan, Size(3000, 2000), transform, orientation=6)
    assert made.size.width
