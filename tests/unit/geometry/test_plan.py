"""Sizes and boxes are decided before any pixel is touched."""

import itertools
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imgserve.errors import BadTransform
from imgserve.geometry.box import Box, Size, Turn
from imgserve.geometry.plan import Plan, plan
from imgserve.model import Limits
from imgserve.transform.value import Transform

LANDSCAPE = Size(6000, 4000)
SMALL = Size(300, 200)


def planned(stored: Size, *, limits: Limits | None = None, orientation: int = 1, **fields: Any) -> Plan:
    limits = limits or Limits()
    uncapped = plan(stored, Transform(**fields), orientation=orientation)
    return uncapped.capped(limits.output_side, limits.output_pixels)


@pytest.mark.parametrize(
    ("stored", "fields", "expected"),
    [
        (LANDSCAPE, {}, (6000, 4000)),
        (LANDSCAPE, {"width": 400}, (400, 267)),
        (LANDSCAPE, {"height": 400}, (600, 400)),
        (LANDSCAPE, {"width": 0.5}, (3000, 2000)),
        (LANDSCAPE, {"width": 0.25, "dpr": 2.0}, (3000, 2000)),
        (LANDSCAPE, {"width": 400, "height": 400}, (400, 400)),
        (LANDSCAPE, {"width": 400, "height": 400, "fit": "max"}, (400, 267)),
        (LANDSCAPE, {"width": 400, "height": 400, "fit": "clip"}, (400, 267)),
        (LANDSCAPE, {"width": 400, "height": 400, "fit": "min"}, (400, 400)),
        (LANDSCAPE, {"width": 400, "height": 400, "fit": "fill"}, (400, 400)),
        (LANDSCAPE, {"width": 400, "height": 400, "fit": "fillmax"}, (400, 400)),
        (LANDSCAPE, {"width": 400, "height": 400, "fit": "clamp"}, (400, 400)),
        (LANDSCAPE, {"width": 400, "height": 100, "fit": "scale"}, (400, 100)),
        (LANDSCAPE, {"width": 400, "aspect": (16, 9)}, (400, 225)),
        (LANDSCAPE, {"aspect": (1, 1)}, (4000, 4000)),
        (LANDSCAPE, {"rect": (100, 100, 1000, 500), "width": 500}, (500, 250)),
        (LANDSCAPE, {"rotate": 90.0, "width": 400}, (400, 600)),
        # Too small an original: the largest region of the asked ratio, never enlarged.
        (SMALL, {"width": 400}, (300, 200)),
        (SMALL, {"width": 400, "height": 400}, (200, 200)),
        (SMALL, {"width": 400, "height": 100}, (300, 75)),
        (SMALL, {"width": 400, "height": 400, "fit": "max"}, (300, 200)),
        (SMALL, {"width": 400, "height": 400, "fit": "fill"}, (400, 400)),
        (SMALL, {"width": 400, "height": 100, "fit": "scale"}, (300, 100)),
        # Enlarging is asked for.
        (SMALL, {"width": 600, "enlarge": True}, (600, 400)),
        (SMALL, {"width": 600, "fit": "max", "enlarge": True}, (300, 200)),
        (SMALL, {"width": 400, "height": 400, "enlarge": True}, (400, 400)),
        (SMALL, {"width": 600, "height": 600, "fit": "clip", "enlarge": True}, (600, 400)),
        (SMALL, {"width": 400, "height": 400, "fit": "min", "enlarge": True}, (200, 200)),
        # Slivers keep at least one pixel.
        (Size(10_000, 3), {"width": 100}, (100, 1)),
        (Size(1, 1), {"width": 100, "height": 50}, (1, 1)),
    ],
)
def test_the_output_has_the_requested_size(stored: Size, fields: dict[str, Any], expected: tuple[int, int]) -> None:
    assert planned(stored, **fields).size == Size(*expected)


@pytest.mark.parametrize(
    ("fields", "region"),
    [
        ({}, Box(1000, 0, 4000, 4000)),
        ({"crop": ("left",)}, Box(0, 0, 4000, 4000)),
        ({"crop": ("right",)}, Box(2000, 0, 4000, 4000)),
        ({"crop": ("top", "left")}, Box(0, 0, 4000, 4000)),
        ({"crop": ("focalpoint",), "focus_x": 0.25}, Box(0, 0, 4000, 4000)),
        ({"crop": ("focalpoint",), "focus_x": 0.6, "focus_y": 0.5}, Box(1600, 0, 4000, 4000)),
        ({"crop": ("focalpoint",), "focus_x": 0.5, "focus_zoom": 2.0}, Box(2000, 1000, 2000, 2000)),
        ({"flip": "h", "crop": ("left",)}, Box(2000, 0, 4000, 4000)),
        ({"rotate": 180.0, "crop": ("left",)}, Box(2000, 0, 4000, 4000)),
        ({"rotate": 90.0, "crop": ("top",)}, Box(0, 0, 4000, 4000)),
        ({"flip": "h", "crop": ("focalpoint",), "focus_x": 0.6}, Box(1600, 0, 4000, 4000)),
        ({"rotate": 90.0, "crop": ("focalpoint",), "focus_x": 0.6}, Box(1600, 0, 4000, 4000)),
        ({"rect": (1000, 1000, 2000, 1000)}, Box(1500, 1000, 1000, 1000)),
    ],
)
def test_a_square_crop_takes_the_requested_part(fields: dict[str, Any], region: Box) -> None:
    assert planned(LANDSCAPE, width=400, height=400, **fields).region == region


def test_a_stored_focal_point_steers_every_crop_until_the_url_says_otherwise() -> None:
    stored = plan(LANDSCAPE, Transform(width=400, height=400), focal_point=(1.0, 0.5))
    assert stored.region.left == 2000
    asked = plan(LANDSCAPE, Transform(width=400, height=400, focus_x=0.0), focal_point=(1.0, 0.5))
    assert asked.region.left == 0


def test_zoom_stops_where_it_would_enlarge() -> None:
    assert planned(SMALL, width=100, height=100, crop=("focalpoint",), focus_zoom=50.0).region.width == 100


def test_an_svg_has_any_size_without_being_enlarged() -> None:
    made = plan(Size(24, 24), Transform(width=512, height=512), vector=True)
    assert (made.size, made.region) == (Size(512, 512), Box(0, 0, 24, 24))


@pytest.mark.parametrize("fields", [{"width": 8192, "height": 8192, "enlarge": True}, {}])
def test_output_over_a_cap_is_scaled_and_said(fields: dict[str, Any]) -> None:
    made = planned(Size(9000, 9000), limits=Limits(output_pixels=1_000_000), **fields)
    assert made.size == Size(1000, 1000)
    assert "over the cap" in made.notes[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("flip", ["", "h", "v", "hv"])
@pytest.mark.parametrize("quarters", range(4))
def test_turning_a_box_there_and_back_changes_nothing(orientation: int, flip: str, quarters: int) -> None:
    turn = Turn.upright(orientation, None).then_rotate(quarters).then_flip(flip)
    box = Box(10, 20, 30, 40)
    width, height = (int(side) for side in turn.size(200, 100))
    assert turn.inverse().box(turn.box(box, 200, 100), width, height) == box


@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_and_boxes_turn_alike(orientation: int) -> None:
    turn = Turn.upright(orientation, None)
    box = turn.box(Box(0, 0, 20, 10), 200, 100)
    width, height = turn.size(200, 100)
    x, y = turn.point(0.05, 0.05)
    assert (x * width, y * height) == pytest.approx((box.left + box.width / 2, box.top + box.height / 2))


@pytest.mark.parametrize("rect", [(6000, 0, 10, 10), (0, 4000, 10, 10), (1.0, 0, 10, 10)])
def test_a_rect_outside_the_picture_is_a_mistake(rect: Any) -> None:
    with pytest.raises(BadTransform, match="outside this original of 6000x4000"):
        planned(LANDSCAPE, rect=rect)


def test_orient_replaces_exif() -> None:
    assert planned(LANDSCAPE, orientation=6).size == Size(4000, 6000)
    assert planned(LANDSCAPE, orientation=6, orient=1).size == Size(6000, 4000)
    assert planned(LANDSCAPE, orientation=1, orient=90).size == Size(4000, 6000)


sides = st.none() | st.integers(1, 8192) | st.floats(0.001, 1.0)
sizes = st.builds(Size, st.integers(1, 20_000), st.integers(1, 20_000))
fits: list[Any] = [None, "clip", "max", "crop", "min", "fill", "fillmax", "scale", "clamp"]
crops: list[Any] = [(), ("top",), ("left", "bottom"), ("entropy",), ("edges",), ("focalpoint",)]
transforms = st.builds(
    Transform,
    width=sides,
    height=sides,
    aspect=st.none() | st.tuples(st.integers(1, 100), st.integers(1, 100)),
    fit=st.sampled_from(fits),
    enlarge=st.booleans(),
    crop=st.sampled_from(crops),
    focus_x=st.none() | st.floats(0, 1),
    focus_y=st.none() | st.floats(0, 1),
    focus_zoom=st.floats(1, 100),
    rect=st.none() | st.tuples(*(st.integers(0, 25_000) | st.floats(0, 1) for _ in range(4))),
    dpr=st.floats(0.1, 5),
    orient=st.none() | st.integers(0, 8) | st.sampled_from([90, 180, 270]),
    rotate=st.sampled_from([0.0, 90.0, 180.0, 270.0]),
    flip=st.sampled_from(["", "h", "v", "hv"]),
)


def _meets(stored: Size, transform: Transform, orientation: int) -> bool:
    """Return whether anything of the rect is inside."""
    try:
        plan(stored, transform, orientation=orientation)
    except BadTransform:
        return False
    return True


LOOSE = Limits(output_side=10**6, output_pixels=10**12)


@given(sizes, transforms, st.integers(1, 8), st.floats(0, 359))
def test_every_box_lies_inside_its_picture(stored: Size, transform: Transform, orientation: int, angle: float) -> None:
    for turned in (transform, Transform(rotate=angle, width=transform.width, height=transform.height)):
        assume(_meets(stored, turned, orientation))
        made = plan(stored, turned, orientation=orientation).capped(Limits().output_side, Limits().output_pixels)
        assert 0 <= made.region.left < made.region.right <= stored.width
        assert 0 <= made.region.top < made.region.bottom <= stored.height
        assert max(made.size.width, made.size.height) <= Limits().output_side
        assert made.size.pixels <= Limits().output_pixels
        assert made.scaled.pixels <= 4 * Limits().output_pixels


@given(sizes, transforms, st.integers(1, 8))
def test_nothing_is_enlarged_unless_requested(stored: Size, transform: Transform, orientation: int) -> None:
    assume(not transform.enlarge and _meets(stored, transform, orientation))
    made = plan(stored, transform, orientation=orientation).capped(LOOSE.output_side, LOOSE.output_pixels)
    assert made.scaled_stored().width <= made.region.width
    assert made.scaled_stored().height <= made.region.height


@given(sizes, transforms, st.integers(1, 8))
def test_nothing_is_stretched(stored: Size, transform: Transform, orientation: int) -> None:
    assume(transform.fit != "scale" and _meets(stored, transform, orientation))
    made = plan(stored, transform, orientation=orientation).capped(LOOSE.output_side, LOOSE.output_pixels)
    scaled = made.scaled_stored()
    # Each side is a whole number of pixels, so the ratio may be off by that rounding and by nothing else; a side of
    # one pixel may stand for any thinner one.
    across = (scaled.width - 1) / (made.region.width + 1), (scaled.width + 1) / max(made.region.width - 1, 1e-9)
    down = (scaled.height - 1) / (made.region.height + 1), (scaled.height + 1) / max(made.region.height - 1, 1e-9)
    assert across[0] <= down[1]
    assert down[0] <= across[1]


@given(sizes, st.integers(1, 3000), st.integers(1, 3000), st.sampled_from(fits), st.sampled_from(crops))
def test_both_sides_given_are_met_exactly_whenever_the_original_allows(
    stored: Size, width: int, height: int, fit: Any, crop: Any
) -> None:
    assume(Size(width, height).within(stored))
    size = planned(stored, limits=LOOSE, width=width, height=height, fit=fit, crop=crop).size
    if fit in {"clip", "max"}:
        assert size.width == width or size.height == height
        assert size.within(Size(width, height))
    else:
        assert size == Size(width, height)


@given(sizes, st.integers(1, 3000), st.sampled_from(["width", "height"]))
def test_one_side_given_is_met_exactly_whenever_the_original_allows(stored: Size, length: int, side: str) -> None:
    assume(length <= getattr(stored, side))
    assert getattr(planned(stored, limits=LOOSE, **{side: length}).size, side) == length


@given(
    sizes,
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.floats(1, 100),
    st.integers(1, 8),
    st.sampled_from(["", "h", "v", "hv"]),
    st.integers(0, 3),
)
def test_the_focal_point_stays_inside_the_crop(
    stored: Size, box: tuple[int, int], focus: tuple[float, float], zoom: float, orientation: int, flip: Any, turns: int
) -> None:
    made = planned(
        stored,
        orientation=orientation,
        width=box[0],
        height=box[1],
        crop=("focalpoint",),
        focus_x=focus[0],
        focus_y=focus[1],
        focus_zoom=zoom,
        flip=flip,
        rotate=90.0 * turns,
    )
    x, y = Turn.upright(orientation, None).inverse().point(*focus)
    assert made.region.left - 1 <= x * stored.width <= made.region.right + 1
    assert made.region.top - 1 <= y * stored.height <= made.region.bottom + 1


def test_every_fit_is_planned_for_every_crop() -> None:
    for fit, crop in itertools.product(fits, crops):
        assert planned(LANDSCAPE, width=320, height=320, fit=fit, crop=crop).size.width == 320
