"""Limits on bytes, automatic quality and the smallest of several formats."""

import dataclasses

import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.errors import MaxBytesUnreachable
from imgserve.formats import BY_MEDIA_TYPE, SIMILARITY
from imgserve.model import Rendition
from imgserve.pipeline.load import Recognized
from imgserve.pipeline.render import render
from imgserve.pipeline.similarity import Likeness, sample
from imgserve.transform import parse_query
from tests.pictures import BLUE, GREEN, RED, animation, encoded, encoded_noise, noise, opened, quarters

PHOTO = encoded(noise(480, 320), "png")
SMOOTH = encoded(pyvips.Image.gaussnoise(48, 32).resize(10).cast("uchar").copy(interpretation="b-w"), "png")


def made(query: str, data: bytes = PHOTO, *others: str) -> Rendition:
    transform = parse_query(query).transform
    return render(data, dataclasses.replace(transform, auto=transform.auto.union(others)))


@pytest.mark.parametrize(
    ("query", "limit", "note"),
    [
        ("fm=jpg", 20_000, "quality"),
        ("fm=jpg&q=90", 20_000, "quality"),
        ("fm=jpg&q=25", 4_000, "x"),
        ("fm=jpg", 2_000, "quality 30, "),
        ("fm=webp", 9_000, "quality"),
        ("fm=avif", 6_000, "quality"),
        ("fm=jxl", 12_000, "quality"),
        ("fm=webp&lossless=1", 60_000, "x"),
        ("fm=png", 90_000, "256 colors"),
        ("fm=png", 20_000, "256 colors, "),
        ("fm=gif", 60_000, "colors"),
        ("fm=gif", 8_000, "32 colors, "),
        ("fm=tiff", 40_000, "x"),
    ],
)
def test_a_limit_is_met_by_quality_first_and_then_by_size(query: str, limit: int, note: str) -> None:
    rendition = made(f"{query}&max-bytes={limit}")
    assert limit * 0.6 <= len(rendition.data) <= limit
    [told] = rendition.notes
    assert told.startswith("max-bytes: ")
    assert note in told
    shown = Recognized(rendition.data, BY_MEDIA_TYPE[rendition.media_type].name, "none").open()
    assert (shown.width, shown.height) == (rendition.width, rendition.height)
    assert (rendition.width == 480) is ("x" not in told.removeprefix("max-bytes: "))


@pytest.mark.parametrize("name", ["gif", "webp", "apng"])
def test_the_frames_of_an_animation_become_smaller_together(name: str) -> None:
    pictures = [noise(200, 150).rot(f"d{turn}").crop(0, 0, 150, 150) for turn in (0, 90, 180)]
    roll = pyvips.Image.arrayjoin(pictures, across=1).copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", 150)
    roll.set_type(pyvips.GValue.array_int_type, "delay", [100, 200, 300])
    data = encoded(roll, "webp", lossless=True)
    rendition = made(f"fm={name}&max-bytes=15000", data)
    assert len(rendition.data) <= 15_000
    if name != "apng":
        moving = opened(rendition.data, n=-1)
        assert (moving.get("n-pages"), moving.get("delay"), moving.get("page-height")) == (
            3, [100, 200, 300], rendition.height,
        )  # fmt: skip


def test_a_picture_within_the_limit_is_the_one_without_a_limit() -> None:
    assert made("fm=jpg&max-bytes=1MB") == made("fm=jpg")


def test_the_data_of_the_original_is_better_than_a_reduced_picture() -> None:
    data = encoded(noise(300, 200), "jpg", Q=60)
    limit = len(made("q=95", data).data) + 100
    assert made(f"q=95&max-bytes={limit}", data).data == made("q=95", data).data
    assert made(f"q=95&max-bytes={limit}", data).notes == ()
    assert len(made("q=95&max-bytes=3000", data).data) <= 3000


def test_what_cannot_be_reached_is_an_error_with_the_smallest_size() -> None:
    with pytest.raises(MaxBytesUnreachable) as caught:
        made("fm=jpg&max-bytes=100")
    smallest = caught.value.members["smallest_bytes"]
    assert isinstance(smallest, int)
    assert 100 < smallest < 1000


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["jpg", "webp", "png", "gif", "tiff", "jxl"]),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(50, 60_000),
    st.integers(0, 9),
)
def test_a_limit_is_never_exceeded(name: str, width: int, height: int, limit: int, seed: int) -> None:
    picture = pyvips.Image.gaussnoise(width, height, sigma=seed * 12, mean=128, seed=seed).cast("uchar")
    data = encoded(picture.copy(interpretation="b-w"), "png")
    try:
        rendition = made(f"fm={name}&max-bytes={limit}", data)
        reached = len(rendition.data)
        assert (rendition.width <= width, rendition.height <= height) == (True, True)
    except MaxBytesUnreachable as error:
        reached = int(str(error.members["smallest_bytes"]))
        limit, reached = reached, limit + 1
    assert reached <= limit


@pytest.mark.parametrize("name", ["jpg", "webp", "avif"])
def test_an_automatic_quality_is_as_low_as_the_similarity_allows(name: str) -> None:
    likeness = Likeness(opened(made("fm=png&w=400", SMOOTH).data))

    def alike(rendition: Rendition) -> float:
        return likeness.of(Recognized(rendition.data, name, "none").open())

    usual, automatic, low = (made(f"fm={name}&w=400{more}", SMOOTH) for more in ("", "&q=auto", "&q=20"))
    assert alike(automatic) >= SIMILARITY
    assert alike(low) < alike(automatic) <= alike(usual) + 0.002
    assert len(automatic.data) <= len(usual.data)


def test_a_large_picture_is_judged_by_tiles_all_over_it() -> None:
    large = quarters(4000, 3000)
    mosaic = sample(large)
    assert (mosaic.width, mosaic.height) == (480, 480)
    assert mosaic.getpoint(5, 5) == large.getpoint(5, 5)
    assert mosaic.getpoint(475, 475) == large.getpoint(3990, 2990)
    assert sample(quarters(40, 3)).width == 40
    assert len(made("fm=jpg&q=auto", encoded_noise("png")).data) > 1000


def test_the_likeness_of_pictures_of_any_size_is_between_0_and_1() -> None:
    for width, height in ((1, 1), (1, 99), (7, 9), (300, 2)):
        one = quarters(300, 300).crop(0, 0, width, height)
        assert Likeness(one).of(one) == pytest.approx(1)
        assert Likeness(one).of(one.invert()) < 0.9


@pytest.mark.parametrize(
    ("data", "query", "others", "chosen"),
    [
        (PHOTO, "auto=best&fm=jpg", ("avif", "webp"), {"image/avif", "image/webp"}),
        (PHOTO, "auto=best&fm=png", ("webp",), {"image/webp"}),
        (encoded(quarters(64, 64), "png"), "auto=best&fm=png", ("webp",), {"image/png", "image/webp"}),
        (animation([RED, GREEN, BLUE]), "auto=best&fm=gif", ("webp",), {"image/gif", "image/webp"}),
        (PHOTO, "auto=best&fm=jpg", (), {"image/jpeg"}),
    ],
)
def test_the_smallest_format_wins(data: bytes, query: str, others: tuple[str, ...], chosen: set[str]) -> None:
    best = made(query, data, *others)
    assert best.media_type in chosen
    for name in (*others, query.rpartition("=")[2]):
        assert len(best.data) <= len(made(f"q=auto&fm={name}", data).data)
    assert len(made(f"{query}&max-bytes=2500", data, *others).data) <= 2500
