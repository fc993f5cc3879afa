"""Frames of animations: which, in which order, how long and how often."""

import pytest
import pyvips

from imgserve.errors import BadTransform
from imgserve.model import Limits
from imgserve.pipeline.render import render
from imgserve.transform import parse_query
from tests.pictures import BLUE, GREEN, RED, animation, near, opened

COLORS = {"R": RED, "G": GREEN, "B": BLUE}
FORMATS = pytest.mark.parametrize("name", ["gif", "webp", "apng"])


def original(letters: str, name: str) -> bytes:
    data = animation([COLORS[letter] for letter in letters])
    return render(data, parse_query(f"format={name}").transform).data


def shown(data: bytes) -> str:
    """Return frames by the first letter of their color, and what an animation declares."""
    picture = opened(data, n=-1) if data[:4] in (b"GIF8", b"RIFF") else _animated_png(data)
    height = picture.get("page-height") if picture.get_typeof("page-height") else picture.height
    seen = [tuple(picture.getpoint(5, top + 5)[:3]) for top in range(0, picture.height, height)]
    letters = "".join(next(letter for letter, color in COLORS.items() if near(one, color)) for one in seen)
    if len(letters) == 1:
        return letters
    return f"{letters} {','.join(map(str, picture.get('delay')))} x{picture.get('loop')}"


def _animated_png(data: bytes) -> pyvips.Image:
    as_gif = render(data, parse_query("format=gif").transform).data
    return opened(as_gif, n=-1)


@FORMATS
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "RGBG 100,200,300,400 x3"),
        ("frame=2-3", "GB 200,300 x3"),
        ("frame=3-9", "BG 300,400 x3"),
        ("frame=2-2", "G"),
        ("reverse=1", "GBGR 400,300,200,100 x3"),
        ("frame=1-3&reverse=1", "BGR 300,200,100 x3"),
        ("loop=0", "RGBG 100,200,300,400 x0"),
        ("loop=2", "RGBG 100,200,300,400 x2"),
        ("loop=65535", "RGBG 100,200,300,400 x65535"),
        ("fps=60", "RGBG 100,200,300,400 x3"),
        ("fps=4", "RBG 300,300,400 x3"),
        ("fps=2", "RG 600,400 x3"),
        ("fps=1", "R"),
        ("frame=1-3&fps=4&reverse=1&loop=7", "BR 300,300 x7"),
        ("animate=0&reverse=1", "R"),
        ("frame=2&fps=1&loop=5&reverse=1", "G"),
    ],
)
def test_frames_are_chosen_ordered_and_timed(name: str, query: str, expected: str) -> None:
    data = original("RGBG", name)
    assert shown(render(data, parse_query(query).transform).data) == expected


def test_frames_at_the_rate_of_a_clock_last_as_long_as_before() -> None:
    data = animation([RED, GREEN, BLUE] * 8)  # 100, 200 .. 2400 ms
    picture = opened(render(data, parse_query("fps=1").transform).data, n=-1)
    delays = picture.get("delay")
    assert sum(delays) == sum(range(100, 2500, 100))
    assert len(delays) == 19  # of the 4 frames that begin in the first second and the 2 of the next two, one each


def test_delays_that_browsers_ignore_count_as_the_default() -> None:
    roll = opened(animation([RED, GREEN, BLUE, RED, GREEN]), n=-1).copy_memory()
    roll.set_type(pyvips.GValue.array_int_type, "delay", [0, 10, 0, 10, 0])
    data = roll.gifsave_buffer()
    assert shown(render(data, parse_query("fps=5").transform).data) == "RBG 200,200,100 x3"


def test_a_range_is_within_limits_that_the_whole_animation_exceeds() -> None:
    data = animation([RED, GREEN, BLUE])
    limits = Limits(animation_pixels=2 * 64 * 64)
    assert "first frame" in render(data, parse_query("").transform, limits=limits).notes[0]
    made = render(data, parse_query("frame=2-3").transform, limits=limits)
    assert (shown(made.data), made.notes) == ("GB 200,300 x3", ())


def test_a_range_behind_the_last_frame_is_a_mistake() -> None:
    with pytest.raises(BadTransform, match=r"frame: expected 1\.\.3"):
        render(animation([RED, GREEN, BLUE]), parse_query("frame=4-6").transform)


@pytest.mark.parametrize("query", ["frame=0", "frame=3-2", "frame=2-", "frame=-2", "fps=0", "fps=61", "loop=65536"])
def test_a_value_out_of_range_is_a_mistake(query: str) -> None:
    with pytest.raises(BadTransform):
        parse_query(query)


@FORMATS
def test_a_still_format_shows_the_first_frame_of_a_range(name: str) -> None:
    made = render(original("RGB", name), parse_query("frame=2-3&format=png").transform)
    assert near(opened(made.data).getpoint(5, 5)[:3], GREEN)
