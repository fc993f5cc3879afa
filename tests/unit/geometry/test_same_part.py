"""Which plans show the same part of an original in the same place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.formats import FORMATS
from imgserve.geometry.box import Size
from imgserve.geometry.plan import Plan, plan, shows_same_part
from imgserve.model import Limits
from imgserve.transform import normalize, parse_query

LARGE = Size(4000, 3000)


def planned(query: str, size: Size = LARGE, orientation: int = 1) -> Plan:
    transform = normalize(parse_query(query).transform, FORMATS["jpg"], FORMATS["jpg"])
    return plan(size, transform, orientation=orientation).capped(Limits().output_side, Limits().output_pixels)


@pytest.mark.parametrize(
    ("large", "small"),
    [
        ("width=800", "width=200"),
        ("width=801", "width=267"),
        ("width=800&height=600&fit=max", "height=150"),
        ("width=800&height=450", "width=400&height=225"),
        ("width=800&height=450", "width=401&aspect=16:9"),
        ("width=333&height=777&crop=left", "width=167&height=389&crop=left"),
        ("width=800&height=800&crop=focalpoint&focus-x=0.3&focus-zoom=2",
         "width=400&height=400&crop=focalpoint&focus-x=0.3&focus-zoom=2"),
        ("width=800&height=800&fit=fill", "width=400&height=400&fit=fill"),
        ("width=800&height=200&fit=scale", "width=400&height=100&fit=scale"),
        ("width=800&rotate=10", "width=400&rotate=10"),
        ("width=800&height=800&rotate=10", "width=400&height=400&rotate=10"),
        ("width=800&rotate=90&flip=h", "width=200&rotate=90&flip=h"),
        ("rect=0.1,0.1,0.3,0.3&width=800", "rect=0.1,0.1,0.3,0.3&width=400"),
        ("width=80&height=80&crop=entropy", "width=80&height=80&crop=entropy"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_same_part_at_another_scale_is_alike(large: str, small: str, orientation: int) -> None:
    assert shows_same_part(planned(large, orientation=orientation), planned(small, orientation=orientation))


@pytest.mark.parametrize(
    ("large", "small"),
    [
        ("width=800&height=450", "width=400"),
        ("width=800&height=450", "width=400&height=300"),
        ("width=800&height=450", "width=400&height=230"),
        ("width=800&height=800&crop=left", "width=400&height=400"),
        ("width=800&height=800&crop=left", "width=400&height=400&crop=right"),
        ("width=800&height=800&crop=focalpoint&focus-zoom=2", "width=400&height=400&crop=focalpoint&focus-zoom=3"),
        ("width=2900&height=2900&crop=focalpoint&focus-zoom=4", "width=800&height=800&crop=focalpoint&focus-zoom=4"),
        ("width=800&height=800&crop=entropy", "width=400&height=400&crop=entropy"),
        ("width=800&height=800&fit=fill", "width=400&height=400&fit=scale"),
        ("width=5000&height=5000&fit=fill", "width=2500&height=2500&fit=fill"),
        ("width=800&rotate=10", "width=400&rotate=11"),
        ("width=800&rotate=90", "width=400&rotate=270"),
        ("width=800&flip=h", "width=400"),
        ("rect=0.1,0.1,0.3,0.3&width=800", "rect=0.1,0.2,0.3,0.3&width=400"),
    ],
)
def test_another_part_or_place_is_not(large: str, small: str) -> None:
    assert not shows_same_part(planned(large), planned(small))


@given(
    width=st.integers(40, 1900),
    height=st.integers(40, 1900),
    factor=st.floats(0.25, 1.0),
    fit=st.sampled_from(["crop", "max", "fill", "scale"]),
    orientation=st.integers(1, 8),
    more=st.sampled_from(["", "&rotate=90", "&rotate=7", "&crop=left,top", "&flip=v", "&rect=100,200,3000,2000"]),
)
def test_whatever_is_requested_scaled_down_is_alike(
    width: int, height: int, factor: float, fit: str, orientation: int, more: str
) -> None:
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    plans = [planned(f"width={w}&height={h}&fit={fit}{more}", LARGE, orientation) for w, h in ((width, height), small)]
    assert shows_same_part(*plans)
