"""Where texts and marks are, and how large."""

import pytest

from imgserve.geometry.box import Size
from imgserve.geometry.overlay import is_tiled, mark_anchor, mark_size
from imgserve.transform import parse_query

CANVAS, LOGO = Size(400, 200), Size(100, 50)


@pytest.mark.parametrize(
    ("query", "size", "place"),
    [
        ("", (100, 50), (295, 145)),
        ("mark-align=top,left", (100, 50), (5, 5)),
        ("mark-align=top", (100, 50), (150, 5)),
        ("mark-align=left", (100, 50), (5, 75)),
        ("mark-align=center", (100, 50), (150, 75)),
        ("mark-align=middle,right&mark-pad=0", (100, 50), (300, 75)),
        ("mark-pad=20", (100, 50), (280, 130)),
        ("mark-pad=8000&mark-align=top,left", (100, 50), (100, 50)),
        ("mark-x=7&mark-y=9", (100, 50), (7, 9)),
        ("mark-x=0&mark-align=top,right", (100, 50), (0, 5)),
        ("mark-x=8000&mark-y=8000", (100, 50), (300, 150)),
        ("mark-w=40", (40, 20), (355, 175)),
        ("mark-h=40", (80, 40), (315, 155)),
        ("mark-w=0.5", (200, 100), (195, 95)),
        ("mark-h=0.5", (200, 100), (195, 95)),
        ("mark-w=40&mark-h=40", (40, 20), (355, 175)),
        ("mark-scale=10", (40, 20), (355, 175)),
        ("mark-scale=10&mark-w=80", (80, 40), (315, 155)),
        ("mark-w=8192", (380, 190), (15, 5)),
        ("mark-w=8192&mark-pad=0", (400, 200), (0, 0)),
        ("mark-h=1", (2, 1), (393, 194)),
        ("mark-rot=90&mark-h=1.0&mark-pad=0", (200, 100), (200, 100)),
        ("mark-tile=grid&mark-w=8000", (400, 200), (0, 0)),
    ],
)
def test_a_mark_has_its_size_and_place(query: str, size: tuple[int, int], place: tuple[int, int]) -> None:
    transform = parse_query(f"mark=a&{query}", strict=True).transform
    made = mark_size(CANVAS, LOGO, transform)
    assert (made, mark_anchor(transform).place(CANVAS, made)) == (Size(*size), place)


@pytest.mark.parametrize(
    ("canvas", "query", "tiled"),
    [
        (Size(400, 1), "mark-tile=thin", True),
        (Size(1, 8), "mark-tile=thin", True),
        (Size(400, 51), "mark-tile=thin", False),
        (CANVAS, "mark-tile=grid", True),
        (Size(400, 1), "", False),
    ],
)
def test_a_mark_is_repeated(canvas: Size, query: str, tiled: bool) -> None:
    assert is_tiled(canvas, parse_query(f"mark=a&{query}").transform) is tiled


@pytest.mark.parametrize("canvas", [Size(1, 1), Size(1, 900), Size(3, 7), Size(8192, 2)])
@pytest.mark.parametrize("query", ["mark-pad=8192", "mark-rot=45", "mark-scale=1", "mark-w=1", "mark-x=9&mark-y=8192"])
def test_a_mark_is_inside_of_the_smallest_picture(canvas: Size, query: str) -> None:
    transform = parse_query(f"mark=a&{query}", strict=True).transform
    made = mark_size(canvas, LOGO, transform)
    left, top = mark_anchor(transform).place(canvas, made)
    assert made.within(canvas)
    assert 0 <= left <= canvas.width - made.width
    assert 0 <= top <= canvas.height - made.height
