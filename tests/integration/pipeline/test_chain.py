"""Transforms one after the other: each is made of what the one before made, without a loss, within the limits."""

from pathlib import Path

import pytest
import pyvips

from imgserve.errors import BadTransform
from imgserve.model import FocalPoint, Limits, Rendition, file_version
from imgserve.pipeline.load import recognize
from imgserve.pipeline.mezzanine import Decoded
from imgserve.pipeline.order import between
from imgserve.pipeline.probe import read_header
from imgserve.rendering.wire import RenderJob
from imgserve.transform import parse_query
from tests.pictures import BLUE, GREEN, RED, WHITE, animation, color_at, encoded, near, noise, opened, quarters
from tests.worker import render_file, store_mezzanine


def chained(
    folder: Path, data: bytes, *queries: str, mezzanine: Path | None = None, limits: Limits | None = None,
    focal_point: FocalPoint | None = None,
) -> Rendition:  # fmt: skip
    path = folder / "original"
    path.write_bytes(data)
    state = path.stat()
    transforms = [parse_query(query, strict=True).transform for query in queries]
    first, *then = *map(between, transforms[:-1]), transforms[-1]
    job = RenderJob(
        str(path), file_version(state.st_mtime_ns, state.st_size), first, then=tuple(then), mezzanine=mezzanine,
        limits=limits or Limits(), focal_point=focal_point,
    )  # fmt: skip
    return render_file(job).rendition


def test_a_step_is_made_of_what_the_step_before_made(tmp_path: Path) -> None:
    made = chained(tmp_path, encoded(quarters(), "png"), "rect=0.5,0.0,0.5,1.0", "rotate=90", "width=60&format=png")
    assert (made.width, made.height, made.media_type) == (60, 40, "image/png")
    picture = opened(made.data)
    assert near(color_at(picture, 0.25, 0.5), WHITE), "what was below is left"
    assert near(color_at(picture, 0.75, 0.5), GREEN)


def test_sizes_of_a_later_step_are_those_of_the_picture_before_it(tmp_path: Path) -> None:
    data = encoded(quarters(400, 300), "png")
    made = chained(tmp_path, data, "width=200", "width=0.5", "rect=0,0,10,10&format=png")
    assert (made.width, made.height) == (10, 10)
    made = chained(tmp_path, data, "width=200", "width=0.5&format=png")
    assert (made.width, made.height) == (100, 75)
    made = chained(tmp_path, data, "width=200", "width=300&format=png")
    assert made.width == 200, "there is no more detail than the step before has left"


def test_nothing_is_lost_between_steps(tmp_path: Path) -> None:
    data = encoded(noise(160, 120), "png")
    turned = chained(tmp_path, data, "rotate=90", "rotate=180", "rotate=90&format=png", "flip=h", "flip=h&format=png")
    before, after = opened(data), opened(turned.data)
    assert (before - after).abs().max() == 0


def test_what_an_earlier_step_says_of_its_format_loses_nothing(tmp_path: Path) -> None:
    data = encoded(noise(160, 120), "png")
    made = chained(tmp_path, data, "format=jpg&quality=1", "flip=h&format=jpg&quality=5", "flip=h&format=png")
    assert (opened(data) - opened(made.data)).abs().max() == 0


def test_transparency_goes_on_to_the_last_step(tmp_path: Path) -> None:
    clear = quarters(80, 60).bandjoin(0)
    made = chained(tmp_path, encoded(clear, "png"), "width=40", "flip=h&format=png")
    assert opened(made.data).hasalpha()
    made = chained(tmp_path, encoded(clear, "png"), "width=40", "background=ff0000&format=jpg")
    assert near(color_at(opened(made.data), 0.5, 0.5), (255, 0, 0))


def test_an_animation_keeps_its_frames_and_their_times(tmp_path: Path) -> None:
    made = chained(tmp_path, animation([RED, GREEN, BLUE]), "width=40", "rect=0,0,20,30", "flip=h&format=webp")
    assert (made.width, made.height) == (20, 30)
    roll = opened(made.data, n=-1)
    assert (roll.get("n-pages"), roll.get("page-height"), roll.get("loop")) == (3, 30, 3)
    assert roll.get("delay") == [100, 200, 300]
    assert near(roll.getpoint(10, 75), BLUE)


@pytest.mark.parametrize(("query", "color"), [("frame=2", GREEN), ("animate=0", RED), ("format=png", RED)])
def test_a_later_step_takes_one_frame(tmp_path: Path, query: str, color: tuple[int, int, int]) -> None:
    last = query if "format" in query else f"{query}&format=gif"
    made = chained(tmp_path, animation([RED, GREEN, BLUE]), "width=40", last)
    picture = opened(made.data)
    assert not picture.get_typeof("n-pages") or picture.get("n-pages") == 1
    assert near(color_at(picture, 0.5, 0.5), color)


def test_a_mistake_names_its_step(tmp_path: Path) -> None:
    with pytest.raises(BadTransform, match=r"step 3: frame: expected 1\.\.2"):
        chained(tmp_path, animation([RED, GREEN]), "width=40", "flip=h", "frame=5&format=gif")
    with pytest.raises(BadTransform, match="step 2: rect"):
        chained(tmp_path, encoded(quarters(), "png"), "width=40", "rect=100,100,50,50&format=png")


def test_limits_hold_at_each_step(tmp_path: Path) -> None:
    limits = Limits(output_side=100)
    data = encoded(quarters(400, 300), "png")
    made = chained(tmp_path, data, "width=400&enlarge=1", "flip=h", "width=400&enlarge=1&format=png", limits=limits)
    assert (made.width, made.height) == (100, 75)
    assert sum("100" in note for note in made.notes) == 2, "each step tells of it"


def test_steps_start_from_a_mezzanine_too(tmp_path: Path) -> None:
    data = encoded(quarters(2000, 1500), "jpg")
    place = tmp_path / "mezzanine"
    opened_file = recognize(data, Limits())
    store_mezzanine(place, Decoded(opened_file, read_header(opened_file, Limits())).mezzanine())
    steps = ("width=400", "rect=0,0,0.5,0.5", "rotate=90&format=png")
    one, other = (opened(chained(tmp_path, data, *steps, mezzanine=from_).data) for from_ in (None, place))
    assert (one.width, one.height) == (other.width, other.height) == (150, 200)
    assert (one.cast("int") - other.cast("int")).abs().max() < 24


def test_the_focal_point_of_the_image_counts_for_the_first_step(tmp_path: Path) -> None:
    point = FocalPoint(1, 1)
    made = chained(tmp_path, encoded(quarters(), "png"), "width=100&height=100", "flip=h&format=png", focal_point=point)
    assert near(color_at(opened(made.data), 0.1, 0.9), WHITE)
    made = chained(
        tmp_path, encoded(quarters(), "png"), "flip=hv", "width=200&height=100&rect=0,0,400,300&format=png",
        focal_point=point,
    )  # fmt: skip
    assert near(color_at(opened(made.data), 0.1, 0.3), WHITE)


def test_metadata_that_a_step_strips_is_gone_and_other_goes_to_the_last(tmp_path: Path) -> None:
    image = quarters(80, 60).copy()
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Copyright", "Ann (Ann, ASCII, 4 components, 4 bytes)")
    data = encoded(image, "jpg")
    kept = opened(chained(tmp_path, data, "width=40", "flip=h&format=jpg").data)
    assert "Ann" in kept.get("exif-ifd0-Copyright")
    stripped = opened(chained(tmp_path, data, "width=40&metadata=strip", "flip=h&format=jpg").data)
    assert not stripped.get_typeof("exif-ifd0-Copyright")
