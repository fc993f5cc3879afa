"""Pad, border, bounds and zoom: the size of a rendition includes them, and is exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.formats import FORMATS
from imgserve.geometry.box import Size
from imgserve.geometry.plan import Plan, plan, rendition_size, shows_same_part
from imgserve.geometry.requested import snapped
from imgserve.geometry.surround import Surround
from imgserve.transform import canonical, normalize, parse_query

PHOTO = Size(1200, 800)


def planned(query: str, stored: Size = PHOTO) -> Plan:
    return plan(stored, normalize(parse_query(query).transform, FORMATS["jpg"], FORMATS["png"]))


@pytest.mark.parametrize(
    ("query", "size", "inner"),
    [
        ("pad=20", (1240, 840), (1200, 800)),
        ("pad=10,20,30,40", (1260, 840), (1200, 800)),
        ("border=5,red&pad=20", (1250, 850), (1200, 800)),
        ("w=300&pad=20", (300, 213), (260, 173)),
        ("h=300&border=10,red", (440, 300), (420, 280)),
        ("w=300&h=300&pad=20&border=5,red", (300, 300), (250, 250)),
        ("w=300&h=300&pad=0&pad-left=100", (300, 300), (200, 300)),
        ("w=300&h=300&pad=20&pad-top=0", (300, 300), (260, 280)),
        ("w=300&h=300&fit=max&pad=20", (300, 213), (260, 173)),
        ("w=300&h=300&fit=fill&pad=20", (300, 300), (260, 260)),
        ("w=300&h=300&fit=clamp&pad=20", (300, 300), (260, 260)),
        ("w=300&h=300&fit=scale&pad=20", (300, 300), (260, 260)),
        ("w=300&ar=3:1&pad=10", (300, 100), (280, 80)),
        ("ar=1:1&pad=10", (820, 820), (800, 800)),
        ("w=300&dpr=2&pad=10", (600, 413), (560, 373)),
        ("w=0.5&dpr=0.5&pad=10", (300, 203), (290, 193)),
        ("pad=10&dpr=3", (1220, 820), (1200, 800)),
        # Too small an original: the ratio remains, and what surrounds a crop is as much smaller.
        ("w=2440&h=2440&pad=20", (812, 812), (800, 800)),
        ("w=2440&pad=20", (1240, 840), (1200, 800)),
        ("w=2440&h=2440&fit=max&pad=20", (1240, 840), (1200, 800)),
        ("w=2440&h=2440&fit=fill&pad=20", (2440, 2440), (2400, 2400)),
        ("w=2440&h=2440&pad=20&enlarge=1", (2440, 2440), (2400, 2400)),
        # No room: pad and border are lowered.
        ("w=40&h=40&pad=20", (40, 40), (2, 2)),
        ("w=40&h=400&pad=100", (40, 400), (2, 362)),
        ("w=1&h=1&border=9,red", (1, 1), (1, 1)),
        # The shape changes no size.
        ("w=300&h=200&mask=ellipse", (300, 200), (300, 200)),
        ("corner-radius=9000", (1200, 800), (1200, 800)),
    ],
)
def test_pad_and_border_are_inside_the_requested_size(
    query: str, size: tuple[int, int], inner: tuple[int, int]
) -> None:
    made = planned(query)
    assert ((made.size.width, made.size.height), (made.inner.width, made.inner.height)) == (size, inner)


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("max-w=600", (600, 400)),
        ("max-h=200", (300, 200)),
        ("max-w=600&max-h=200", (300, 200)),
        ("max-w=5000&max-h=5000", (1200, 800)),
        ("w=900&max-w=600", (600, 400)),
        ("w=900&max-h=300", (900, 300)),
        ("h=100&min-w=300", (300, 100)),
        ("w=300&min-h=300", (300, 300)),
        ("w=300&min-h=300&fit=max", (300, 200)),
        ("w=300&min-h=300&fit=fill", (300, 300)),
        ("w=2000&min-h=700", (1200, 800)),
        ("w=2000&max-h=900", (1200, 800)),
        ("w=2000&max-h=500", (1200, 300)),
        ("w=300&min-h=2000", (300, 800)),
        ("w=300&h=300&max-w=200", (200, 300)),
        ("w=300&h=300&min-h=400", (300, 400)),
        ("min-w=2000", (1200, 800)),
        ("min-w=2000&enlarge=1", (2000, 1333)),
        ("min-h=2000&enlarge=1", (3000, 2000)),
        ("min-w=2000&max-h=1000&enlarge=1", (2000, 1000)),
        ("max-w=600&dpr=2", (1200, 800)),
        ("max-w=300&dpr=2", (600, 400)),
        ("max-w=300&pad=20", (300, 213)),
        ("max-h=213&pad=20", (300, 213)),
        ("ar=1:1&max-w=300", (300, 300)),
        ("ar=1:1&w=500&max-h=300", (500, 300)),
        ("ar=2:1&h=300&max-w=400", (400, 300)),
        ("zoom=0.5", (600, 400)),
        ("zoom=2", (1200, 800)),
        ("zoom=2&enlarge=1", (2400, 1600)),
        ("zoom=0.5&pad=20", (640, 440)),
        ("zoom=0.5&ar=1:1", (400, 400)),
        ("zoom=0.5&max-w=300", (300, 200)),
        ("w=100&zoom=3", (300, 200)),
        ("w=100&h=100&zoom=1.5&dpr=2", (300, 300)),
        ("w=100&h=100&zoom=2&pad=10", (200, 200)),
        ("w=0.25&zoom=2", (600, 400)),
        ("w=0.25&zoom=2&dpr=2", (1200, 800)),
        ("ar=16:9", (1200, 675)),
        ("w=320&ar=16:9", (320, 180)),
        ("h=180&ar=16:9", (320, 180)),
        ("w=0.5&ar=1:1", (600, 600)),
    ],
)
def test_bounds_zoom_and_a_ratio_decide_the_size(query: str, size: tuple[int, int]) -> None:
    made = planned(query).size
    assert (made.width, made.height) == size


SIDES = st.none() | st.integers(1, 900)
PADS = st.tuples(*[st.integers(0, 90)] * 4)


@given(
    st.integers(1, 1500),
    st.integers(1, 1500),
    SIDES,
    SIDES,
    PADS,
    st.integers(0, 40),
    st.sampled_from(["crop", "max", "min", "fill", "fillmax", "scale", "clip", "clamp"]),
    st.booleans(),
)
def test_the_size_is_that_of_the_parts_and_never_above_the_requested_one(
    wide: int, high: int, width: int | None, height: int | None, pad: tuple[int, ...], border: int, fit: str, grow: bool
) -> None:
    sides = "".join(f"&{name}={side}" for name, side in (("w", width), ("h", height)) if side)
    pads = ",".join(map(str, pad))
    stored = Size(wide, high)
    made = planned(f"pad={pads}&border={border},red&fit={fit}&enlarge={int(grow)}{sides}", stored)
    size, inner, around = made.size, made.inner, made.surround
    assert (size.width, size.height) == (inner.width + around.width, inner.height + around.height)
    assert around.scaled(1) == around
    assert size.width <= (width or size.width)
    assert size.height <= (height or size.height)
    without = planned(f"fit={fit}&enlarge={int(grow)}{sides}", stored).size
    if not any(pad) and not border:
        assert size == without
    roomy = (width or 999) > pad[1] + pad[3] + 2 * border and (height or 999) > pad[0] + pad[2] + 2 * border
    if roomy and grow and width and height and fit in {"crop", "fill", "scale", "clamp"}:
        assert (size.width, size.height) == (width, height)
    capped = made.capped(200, 30_000)
    assert max(capped.size.width, capped.size.height) <= 200


@pytest.mark.parametrize(
    ("radius", "size", "expected"),
    [
        ((10, 10, 10, 10), Size(100, 50), (10, 10, 10, 10)),
        ((10, 20, 30, 40), Size(100, 100), (10, 20, 30, 40)),
        ((100, 100, 100, 100), Size(100, 50), (25, 25, 25, 25)),
        ((100, 0, 0, 0), Size(100, 50), (50, 0, 0, 0)),
        ((60, 60, 0, 0), Size(100, 100), (50, 50, 0, 0)),
        (None, Size(100, 50), (10, 10, 10, 10)),
        ((0, 0, 0, 0), Size(1, 1), (0, 0, 0, 0)),
    ],
)
def test_radii_share_a_side_that_is_too_short(
    radius: tuple[int, int, int, int] | None, size: Size, expected: tuple[float, ...]
) -> None:
    assert Surround(mask="corners", radius=radius).radii(size) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("large", "small", "same"),
    [
        ("w=800&pad=20", "w=400&pad=20", False),
        ("w=400&pad=20", "w=400&pad=20", True),
        ("w=800&corner-radius=20", "w=400&corner-radius=20", False),
        ("w=800&mask=ellipse", "w=400&mask=ellipse", False),
        ("w=400&pad=20", "w=400", False),
        ("max-w=800", "max-w=400", True),
        ("zoom=0.5", "zoom=0.25", True),
    ],
)
def test_pad_and_border_do_not_scale_with_a_picture(large: str, small: str, same: bool) -> None:
    assert shows_same_part(planned(large), planned(small)) is same


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("w=300&pad=10", "pad=10&width=320"),
        ("pad=100", "pad=100&width=1280"),
        ("pad=10&border=5,red", "border=5,ff0000&pad=10&width=640"),
        ("zoom=0.5", "width=640"),
        ("max-w=500", "width=640"),
        ("w=500&max-h=100", "height=128&width=640"),
    ],
)
def test_allowed_sizes_include_pad_border_bounds_and_zoom(query: str, expected: str) -> None:
    stored = Size(1250, 850) if "pad=100" in query else Size(700, 600) if "border" in query else PHOTO
    transform, _ = snapped(stored, parse_query(query).transform, (320, 640, 1280))
    assert canonical(transform) == expected


@pytest.mark.parametrize("query", ["pad=10", "zoom=0.5", "max-w=300", "border=5,red"])
def test_what_depends_on_an_unknown_size_becomes_the_last_allowed_one(query: str) -> None:
    transform, notes = snapped(Size(0, 0), parse_query(query).transform, (320, 640))
    assert (transform.width, transform.height, len(notes)) == (640, None, 1)


@pytest.mark.parametrize(
    ("query", "original", "size"),
    [
        ("w=300&pad=20", (1200, 800), (300, 213)),
        ("w=300&pad=20", (None, None), (300, None)),
        ("pad=20", (1200, None), (1240, None)),
        ("max-w=300", (None, None), (300, None)),
        ("w=300&h=200&border=9,red", (None, None), (300, 200)),
    ],
)
def test_the_size_is_predicted(
    query: str, original: tuple[int | None, int | None], size: tuple[int | None, int | None]
) -> None:
    assert rendition_size(*original, parse_query(query).transform) == size
