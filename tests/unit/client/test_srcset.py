"""Widths and densities: the candidates worth offering, and none beyond what an original gives."""

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.client import ImageUrls, Parameters, width_ladder
from imgserve.client.srcset import SrcsetPlan
from imgserve.geometry.box import Size
from imgserve.geometry.plan import plan
from imgserve.transform import MAX_SIDE, parse_query

IMAGES = ImageUrls("")
RATIOS = st.none() | st.tuples(st.integers(1, 30), st.integers(1, 30))
FITS = st.sampled_from([None, "max", "clip", "crop", "min", "fill", "fillmax", "scale", "clamp"])


def offered(srcset: str) -> list[tuple[str, str]]:
    """Split a srcset into queries and descriptors as a browser does."""
    parts = [part.split(" ") for part in srcset.split(", ")]
    return [(url.removeprefix("/a.jpg").removeprefix("?"), descriptor) for url, descriptor in parts]


def longer(size: Size) -> int:
    """Return the longer side; the other of a sliver is a whole pixel where its share would be less."""
    return max(size.width, size.height)


@pytest.mark.parametrize(
    ("least", "most", "tolerance", "widths"),
    [
        (100, 200, 0.08, (100, 116, 135, 156, 181, 200)),
        (320, 2000, 0.25, (320, 480, 720, 1080, 1620, 2000)),
        (400, 400, 0.08, (400,)),
        (1, 4, 0.01, (1, 2, 3, 4)),
        (300, 301, 9, (300, 301)),
    ],
)
def test_a_ladder_grows_by_twice_the_tolerance(
    least: int, most: int, tolerance: float, widths: tuple[int, ...]
) -> None:
    assert width_ladder(least, most, tolerance=tolerance) == widths


def test_the_default_ladder_has_31_steps() -> None:
    assert len(width_ladder()) == 31


@pytest.mark.parametrize(
    ("least", "most", "tolerance"),
    [(0, 5, 0.1), (6, 5, 0.1), (1, 5, 0), (1, 5, -1), (1, 5, float("inf")), (1, 5, float("nan"))],
)
def test_an_impossible_ladder_is_refused(least: int, most: int, tolerance: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        width_ladder(least, most, tolerance=tolerance)


@given(st.integers(1, 3000), st.integers(0, 6000), st.floats(0.001, 3))
def test_every_width_of_a_page_is_near_a_step(least: int, more: int, tolerance: float) -> None:
    ladder = width_ladder(least, least + more, tolerance=tolerance)
    assert (ladder[0], ladder[-1]) == (least, least + more)
    assert list(ladder) == sorted(set(ladder))
    growth = 1 + 2 * tolerance
    assert all(after <= (before + 0.5) * growth + 1.5 for before, after in pairwise(ladder))


@pytest.mark.parametrize(
    ("arguments", "parameters", "srcset"),
    [
        ({"widths": (640, 320, 320)}, {}, [("width=320", "320w"), ("width=640", "640w")]),
        ({"widths": (320, 640, 1280), "original_width": 700}, {},
         [("width=320", "320w"), ("width=640", "640w"), ("width=700", "700w")]),
        ({"widths": (320, 640), "original_width": 640}, {}, [("width=320", "320w"), ("width=640", "640w")]),
        ({"widths": (320, 640), "original_width": 200}, {}, [("width=200", "200w")]),
        ({"widths": (320, 640), "original_width": 200}, {"enlarge": True},
         [("enlarge=1&width=320", "320w"), ("enlarge=1&width=640", "640w")]),
        ({"widths": (320, 640, 900), "original_width": 1000, "original_height": 600}, {"aspect": "1:1"},
         [("aspect=1:1&width=320", "320w"), ("aspect=1:1&width=600", "600w")]),
        ({"widths": (320, 900), "original_width": 1000, "original_height": 600}, {"rotate": 90},
         [("rotate=90&width=320", "320w"), ("rotate=90&width=600", "600w")]),
        ({"widths": (320, 900), "original_width": 1000}, {"rect": "0.5,0,0.5,1.0"},
         [("rect=0.5,0,0.5,1.0&width=320", "320w"), ("rect=0.5,0,0.5,1.0&width=500", "500w")]),
        ({"widths": (320,), "original_width": 100}, {"preset": "card"}, [("preset=card&width=100", "100w")]),
        ({"widths": [100]}, {"height": 50}, [("height=50&width=100", "100w")]),
        ({"densities": (1, 2, 3)}, {"width": 100}, [("width=100", "1x"), ("width=200", "2x"), ("width=300", "3x")]),
        ({"densities": (1, 1.5)}, {"w": 100, "h": 40},
         [("height=40&width=100", "1x"), ("height=60&width=150", "1.5x")]),
        ({"densities": (1, 2)}, {"preset": "card"}, [("preset=card", "1x"), ("dpr=2&preset=card", "2x")]),
        ({"densities": (1, 2)}, {"width": 0.2}, [("width=0.2", "1x"), ("dpr=2&width=0.2", "2x")]),
        ({"densities": (1, 2, 3), "original_width": 175}, {"width": 100},
         [("width=100", "1x"), ("width=175", "1.75x")]),
        ({"densities": (1, 2, 3), "original_width": 200}, {"width": 100}, [("width=100", "1x"), ("width=200", "2x")]),
        ({"densities": (1, 2), "original_width": 60}, {"width": 100}, [("width=100", "1x")]),
        ({"densities": (2,), "original_width": 150}, {"width": 100}, [("width=150", "1.5x")]),
        ({"densities": (1, 2), "original_width": 60}, {"width": 100, "enlarge": 1},
         [("enlarge=1&width=100", "1x"), ("enlarge=1&width=200", "2x")]),
        ({"densities": (1, 4), "original_width": 300, "original_height": 90}, {"width": 100, "height": 50},
         [("height=50&width=100", "1x"), ("height=90&width=180", "1.8x")]),
        ({"densities": (1, 3), "original_width": 900, "original_height": 900}, {"width": 80, "rect": "0,0,100,100"},
         [("rect=0,0,100,100&width=80", "1x"), ("rect=0,0,100,100&width=100", "1.25x")]),
        ({"densities": (1, 3), "original_width": 900, "original_height": 150}, {"width": 100, "rotate": 90},
         [("rotate=90&width=100", "1x"), ("rotate=90&width=150", "1.5x")]),
        ({"densities": (1, 2), "original_width": 900}, {"width": 100, "orient": 6},
         [("orient=6&width=100", "1x"), ("orient=6&width=200", "2x")]),
        ({"densities": (1 / 3, 1)}, {"width": 300}, [("width=100", "0.333333x"), ("width=300", "1x")]),
    ],
)  # fmt: skip
def test_a_srcset_has_the_candidates_worth_offering(
    arguments: dict[str, Any], parameters: Parameters, srcset: list[tuple[str, str]]
) -> None:
    assert offered(IMAGES.srcset("a.jpg", **arguments, **parameters)) == srcset


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "received neither"),
        ({"widths": (1,), "densities": (1,)}, "received both"),
        ({"widths": (0, 5)}, "expected numbers above 0"),
        ({"widths": (MAX_SIDE + 1,)}, "up to 8192"),
        ({"widths": (5,), "width": 5}, "no width as well"),
        ({"widths": (5,), "width": 5, "dpr": 2}, "no dpr and width as well"),
        ({"densities": (1,), "width": 5, "dpr": 2}, "no dpr as well"),
        ({"densities": (1, 6), "width": 5}, "up to 5"),
        ({"densities": (float("nan"),), "width": 5}, "expected numbers"),
        ({"densities": (1, 2)}, "a width, a height or a preset"),
    ],
)
def test_an_invalid_choice_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        IMAGES.srcset("a.jpg", **arguments)


def test_a_side_of_zero_is_not_known_and_one_below_is_refused() -> None:
    assert SrcsetPlan.of((), (), 0, 600).original == (None, 600)
    with pytest.raises(ValueError, match="original: expected"):
        SrcsetPlan.of((), (), -1, None)


def test_a_width_is_whole() -> None:
    widths: Any = (0.5, 320)
    with pytest.raises(TypeError, match="integer"):
        IMAGES.srcset("a.jpg", widths=widths)


def test_an_address_of_a_srcset_holds_no_separator_of_its_own() -> None:
    images = IMAGES.with_(download="a, b,", preset="x,")
    assert len(offered(images.srcset("a,", widths=(1, 2), crop="top,left"))) == 2


@settings(max_examples=300)
@given(RATIOS, FITS, st.integers(1, 2000), st.integers(1, 2000), st.sets(st.integers(1, 4000), min_size=1, max_size=6))
def test_a_picture_is_as_wide_as_its_descriptor_says(
    ratio: tuple[int, int] | None, fit: Any, width: int, height: int, widths: set[int]
) -> None:
    srcset = IMAGES.srcset("a.jpg", widths=widths, original_width=width, original_height=height, aspect=ratio, fit=fit)
    promised = [int(descriptor.removesuffix("w")) for _, descriptor in offered(srcset)]
    transforms = [parse_query(query, max_side=10**6).transform for query, _ in offered(srcset)]
    assert [plan(Size(width, height), item).size.width for item in transforms] == promised
    assert len(set(promised)) == len(promised)
    assert max(promised) <= min(width, max(widths))


@settings(max_examples=300)
@given(
    st.integers(20, 900), st.none() | st.integers(20, 900), FITS, st.integers(1, 1500), st.integers(1, 1500),
    st.sets(st.floats(0.1, 5), min_size=1, max_size=4),
)  # fmt: skip
def test_a_picture_is_as_dense_as_its_descriptor_says(
    across: int, down: int | None, fit: Any, width: int, height: int, densities: set[float]
) -> None:
    srcset = IMAGES.srcset(
        "a.jpg", densities=densities, original_width=width, original_height=height, width=across, height=down, fit=fit
    )
    whole = parse_query(f"width={across}&fit={fit or 'crop'}" + (f"&height={down}" if down else "")).transform
    single = longer(plan(Size(1000 * width, 1000 * height), whole).size)
    pixel = 0.5 / min(across, down or across) + 3 / single + 1e-5  # both sides are whole, at one density and at five
    for query, descriptor in offered(srcset):
        made = longer(plan(Size(width, height), parse_query(query).transform).size)
        # Of an original that is too small for the least density, there is one picture.
        assert len(offered(srcset)) == 1 or abs(made / single - float(descriptor[:-1])) <= pixel
