"""Sizes held to a ladder."""

import pytest

from imgserve.transform import canonical, parse_query, snapped

LADDER = (320, 640, 1280)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("w=320", "width=320"),
        ("w=321", "width=640"),
        ("w=1", "width=320"),
        ("w=9000", "width=1280"),
        ("h=500", "height=640"),
        ("w=300&h=641", "height=1280&width=320"),
        ("w=0.5&h=500", "height=640&width=0.5"),
        ("rot=90", "rotate=90"),
    ],
)
def test_a_side_becomes_the_next_of_the_ladder(query: str, expected: str) -> None:
    assert canonical(snapped(parse_query(query), LADDER).transform) == expected


def test_a_changed_side_is_reported() -> None:
    assert snapped(parse_query("w=300"), LADDER).notes == ("width: 300 is not a size of this server, made 320",)
    assert snapped(parse_query("w=320"), LADDER).notes == ()
