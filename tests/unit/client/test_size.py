"""The size that is told is the size that the server plans."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imgserve.client.size import UNKNOWN, Extent, original_extent, picture_extent
from imgserve.errors import BadTransform
from imgserve.geometry.box import Size
from imgserve.geometry.plan import plan
from imgserve.transform import Transform

WIDE = Extent(1000, 600)
SIDES = st.none() | st.integers(1, 3000) | st.floats(0.01, 1)
SHARES = st.integers(1, 800) | st.floats(0.01, 1)


@pytest.mark.parametrize(
    ("fields", "original", "extent"),
    [
        ({"width": 400}, UNKNOWN, (400, None)),
        ({"width": 400}, Extent(300), (300, None)),
        ({"height": 400}, Extent(300), (None, 400)),
        ({"width": 400, "enlarge": True}, Extent(300), (400, None)),
        ({"width": 400, "height": 300}, UNKNOWN, (400, 300)),
        ({"width": 400, "height": 300}, Extent(200), (200, 150)),
        ({"width": 400, "height": 300, "fit": "max"}, UNKNOWN, (None, None)),
        ({"width": 400, "height": 300, "fit": "fill"}, UNKNOWN, (400, 300)),
        ({"width": 400, "aspect": (2, 1)}, UNKNOWN, (400, 200)),
        ({"width": 0.5}, UNKNOWN, (None, None)),
        ({"width": 0.5}, WIDE, (500, 300)),
        ({"aspect": (2, 1)}, UNKNOWN, (None, None)),
        ({}, WIDE, (1000, 600)),
        ({"orient": 6}, WIDE, (None, None)),
        ({"rotate": 12.0}, WIDE, (None, None)),
        ({"rotate": 90.0}, WIDE, (600, 1000)),
        ({"rect": (2000, 0, 10, 10)}, WIDE, (None, 10)),
    ],
)
def test_as_much_is_told_as_is_known(
    fields: dict[str, Any], original: Extent, extent: tuple[int | None, int | None]
) -> None:
    assert picture_extent(Transform(**fields), original) == Extent(*extent)


def test_a_size_of_zero_is_not_known_and_one_below_is_refused() -> None:
    assert original_extent(0, 600) == Extent(None, 600)
    with pytest.raises(ValueError, match="original: expected"):
        original_extent(-1, None)


@st.composite
def transforms(draw: st.DrawFn) -> Transform:
    fits: list[Any] = ["clip", "max", "crop", "min", "fill", "fillmax", "scale", "clamp"]
    return Transform(
        width=draw(SIDES),
        height=draw(SIDES),
        aspect=draw(st.none() | st.tuples(st.integers(1, 30), st.integers(1, 30))),
        fit=draw(st.sampled_from([None, *fits])),
        enlarge=draw(st.booleans()),
        dpr=draw(st.sampled_from([1.0, 0.5, 2.0, 1.37])),
        rotate=draw(st.sampled_from([0.0, 90.0, 180.0, 270.0])),
        rect=draw(st.none() | st.tuples(SHARES, SHARES, SHARES, SHARES)),
    )


@settings(max_examples=600)
@given(transforms(), st.integers(1, 2500), st.integers(1, 2500))
def test_a_whole_size_is_the_one_that_the_server_plans(transform: Transform, width: int, height: int) -> None:
    try:
        planned = plan(Size(width, height), transform).size
    except BadTransform:
        assume(False)
        raise
    assert picture_extent(transform, Extent(width, height)) == Extent(planned.width, planned.height)
