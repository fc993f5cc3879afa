"""Sizes held to those that a server allows, for every way to request one."""

import pytest

from imgserve.geometry.box import Size
from imgserve.geometry.plan import plan
from imgserve.geometry.requested import snapped
from imgserve.transform import canonical, parse_query

SIZES = (320, 640, 1280)
STORED = Size(4000, 3000)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("w=320", "width=320"),
        ("w=321", "width=640"),
        ("w=1", "width=320"),
        ("w=9000", "width=1280"),
        ("h=500", "height=640"),
        ("w=400&h=300", "height=480&width=640"),
        ("w=4000&h=3000", "height=960&width=1280"),
        ("w=400&ar=4:3", "height=480&width=640"),
        ("h=300&ar=4:3", "height=480&width=640"),
        ("w=320&h=240&dpr=1.5", "height=480&width=640"),
        ("w=0.1&dpr=2", "width=1280"),
        ("w=0.08", "width=320"),
        ("w=0.081", "width=640"),
        ("w=0.1&h=0.1", "height=480&width=640"),
        ("h=0.1", "height=320"),
        ("w=0.1&h=500", "height=800&width=640"),
        ("rect=0,0,777,500", "rect=0,0,777,500&width=640"),
        ("rect=0,0,0.5,0.5&w=0.1", "rect=0,0,0.5,0.5&width=320"),
        ("rect=0,0,0.5,0.5", "rect=0,0,0.5,0.5&width=1280"),
        ("rect=0,0,100,100", "rect=0,0,100,100&width=320"),
        ("rot=90&h=0.1", "height=640&rotate=90"),
        ("rot=90", "rotate=90"),
        ("ar=1:1", "aspect=1:1"),
    ],
)
def test_a_size_becomes_the_next_one_with_its_ratio(query: str, expected: str) -> None:
    transform, _ = snapped(STORED, parse_query(query).transform, SIZES)
    assert canonical(transform) == expected


def test_fractions_are_those_of_the_upright_picture() -> None:
    transform, _ = snapped(STORED, parse_query("w=0.1").transform, SIZES, orientation=6)
    assert canonical(transform) == "width=320"


@pytest.mark.parametrize("query", ["w=0.5", "h=0.5", "rect=0,0,9,9"])
def test_what_depends_on_an_unknown_size_becomes_the_last_one(query: str) -> None:
    transform, notes = snapped(Size(0, 0), parse_query(query).transform, SIZES)
    assert (transform.width, transform.height) == (1280, None)
    assert notes


def test_a_changed_side_is_reported() -> None:
    assert snapped(STORED, parse_query("w=300").transform, SIZES)[1] == (
        "width: 300 is not a size of this server, made 320",
    )
    assert snapped(STORED, parse_query("w=320").transform, SIZES)[1] == ()


@pytest.mark.parametrize(
    ("query", "made"),
    [
        ("w=8000", "4000x3000"),
        ("h=8000", "4000x3000"),
        ("w=5000&h=5000", "3000x3000"),
        ("w=5000&h=2000", "4000x1600"),
        ("w=5000&h=5000&fit=max", "4000x3000"),
        ("w=5000&h=100&fit=scale", "4000x100"),
        ("w=3000&h=3000&fit=max", None),
        ("w=5000&h=100&fit=max", None),
        ("w=5000&h=5000&fit=fill", None),
        ("w=8000&enlarge=1", None),
        ("w=4000&h=3000", None),
        ("w=400", None),
    ],
)
def test_a_plan_notes_what_the_original_is_too_small_for(query: str, made: str | None) -> None:
    note = f"size: made {made}, because the original is not enlarged"
    assert plan(STORED, parse_query(query).transform).notes == ((note,) if made else ())
