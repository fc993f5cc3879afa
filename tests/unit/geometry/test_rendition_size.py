"""The size of a rendition is predicted as far as the size of its original is known."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imgserve.errors import BadTransform
from imgserve.geometry.box import Size
from imgserve.geometry.plan import plan, rendition_size, shown_size
from imgserve.transform.value import Transform

UNKNOWN = (None, None)
WIDE = (1000, 600)
SIDES = st.none() | st.integers(1, 3000) | st.floats(0.01, 1)
SHARES = st.integers(1, 800) | st.floats(0.01, 1)


@pytest.mark.parametrize(
    ("fields", "original", "size"),
    [
        ({"width": 400}, UNKNOWN, (400, None)),
        ({"width": 400}, (300, None), (300, None)),
        ({"height": 400}, (300, None), (None, 400)),
        ({"width": 400, "enlarge": True}, (300, None), (400, None)),
        ({"width": 400, "height": 300}, UNKNOWN, (400, 300)),
        ({"width": 400, "height": 300}, (200, None), (200, 150)),
        ({"width": 400, "height": 300, "fit": "max"}, UNKNOWN, (None, None)),
        ({"width": 400, "height": 300, "fit": "fill"}, UNKNOWN, (400, 300)),
        ({"width": 400, "aspect": (2, 1)}, UNKNOWN, (400, 200)),
        ({"width": 0.5}, UNKNOWN, (None, None)),
        ({"width": 0.5}, WIDE, (500, 300)),
        ({"aspect": (2, 1)}, UNKNOWN, (None, None)),
        ({}, WIDE, (1000, 600)),
        ({"orient": 6}, WIDE, (None, None)),
        ({"rotate": 12.0}, WIDE, (1103, 795)),
        ({"rotate": 12.0}, UNKNOWN, (None, None)),
        ({"rotate": 90.0}, WIDE, (600, 1000)),
        ({"rotate": 90.0}, (1000, None), (None, 1000)),
        ({"rect": (2000, 0, 10, 10)}, WIDE, (None, None)),
    ],
)
def test_a_side_is_predicted_where_it_depends_on_nothing_unknown(
    fields: dict[str, Any], original: tuple[int | None, int | None], size: tuple[int | None, int | None]
) -> None:
    assert rendition_size(*original, Transform(**fields)) == size


def test_the_shown_size_is_the_part_before_any_resizing() -> None:
    transform = Transform(width=10, height=20, dpr=2.0, fit="fill", rect=(0.5, 0.0, 0.5, 0.5), rotate=90.0)
    assert shown_size(*WIDE, transform) == (300, 500)


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
        rotate=draw(st.sampled_from([0.0, 12.0, 90.0, 180.0, 270.0])),
        rect=draw(st.none() | st.tuples(SHARES, SHARES, SHARES, SHARES)),
    )


@settings(max_examples=600)
@given(transforms(), st.integers(1, 2500), st.integers(1, 2500), st.booleans())
def test_a_whole_size_is_the_one_that_the_server_plans(
    transform: Transform, width: int, height: int, turned: bool
) -> None:
    stored, orientation = (Size(height, width), 6) if turned else (Size(width, height), 1)
    try:
        planned = plan(stored, transform, orientation=orientation).size
    except BadTransform:
        assume(False)
        raise
    assert rendition_size(width, height, transform) == (planned.width, planned.height)
