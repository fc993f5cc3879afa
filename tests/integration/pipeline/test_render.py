"""Bytes in, pictures out: every format, every transform, looked at pixel by pixel."""

from pathlib import Path
from typing import Any

import pytest
import pyvips

from imgserve.errors import BadTransform, LimitExceeded, TooLarge, UnreadableImage, UnsupportedImage
from imgserve.formats import FORMATS
from imgserve.model import Limits, Rendition
from imgserve.pipeline import color
from imgserve.pipeline.probe import probe
from imgserve.pipeline.render import render
from imgserve.transform import Transform, parse_query
from tests.pictures import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    animation,
    color_at,
    encoded,
    encoded_noise,
    heic,
    near,
    noise,
    opened,
    quarters,
)

READ = ["jpg", "png", "webp", "gif", "avif", "tiff", "heic"]
WRITTEN = ["jpg", "png", "webp", "gif", "avif", "tiff"]
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30">'
    b'<rect width="20" height="15" fill="rgb(220,30,30)"/><rect x="20" width="20" height="15" fill="rgb(30,180,30)"/>'
    b'<rect y="15" width="20" height="15" fill="rgb(30,30,220)"/></svg>'
)


def made(data: bytes, query: str = "", **options: Any) -> Rendition:
    return render(data, parse_query(query).transform, **options)


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("output", WRITTEN)
def test_every_format_that_is_read_becomes_every_format_that_is_written(name: str, output: str) -> None:
    rendition = made(encoded(quarters(), name), f"w=200&fm={output}")
    picture = opened(rendition.data)
    assert (rendition.width, rendition.height) == (picture.width, picture.height) == (200, 150)
    assert rendition.media_type == FORMATS[output].media_type
    assert near(color_at(picture, 0.25, 0.25), RED)
    assert near(color_at(picture, 0.75, 0.25), GREEN)
    assert near(color_at(picture, 0.25, 0.75), BLUE)
    assert near(color_at(picture, 0.75, 0.75), WHITE)


@pytest.mark.parametrize("fit", ["crop", "fill", "clamp", "scale", "min", "fillmax"])
@pytest.mark.parametrize("size", [(100, 100), (37, 91), (333, 17), (399, 299)])
def test_both_sides_are_met_to_the_pixel(fit: str, size: tuple[int, int]) -> None:
    rendition = made(encoded_noise("jpg"), f"w={size[0]}&h={size[1]}&fit={fit}")
    picture = opened(rendition.data)
    assert (picture.width, picture.height) == size


@pytest.mark.parametrize("width", [1, 2, 3, 7, 99, 100, 101, 399, 400, 401, 799, 800])
@pytest.mark.parametrize("name", ["jpg", "webp", "png"])
def test_a_width_is_met_to_the_pixel_whatever_shrink_on_load_does(width: int, name: str) -> None:
    picture = opened(made(encoded_noise(name), f"w={width}").data)
    assert (picture.width, picture.height) == (width, max(1, int(width * 0.75 + 0.5)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tiff"])
def test_exif_orientation_is_applied(orientation: int, name: str) -> None:
    upright = quarters()
    # Store the picture turned the other way, so that the tag makes it upright again.
    stored = {
        1: upright,
        2: upright.fliphor(),
        3: upright.rot180(),
        4: upright.flipver(),
        5: upright.rot90().fliphor(),
        6: upright.rot270(),
        7: upright.rot270().fliphor(),
        8: upright.rot90(),
    }[orientation].copy()
    stored.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    data = encoded(stored, name)
    picture = opened(made(data, "w=200&h=150&fm=png").data)
    assert [near(color_at(picture, x, y), color) for x, y, color in CORNERS] == [True] * 4
    assert not picture.get_typeof("orientation")
    info = probe(data)
    assert (info.width, info.height, info.orientation) == (400, 300, orientation)


CORNERS = ((0.1, 0.1, RED), (0.9, 0.1, GREEN), (0.1, 0.9, BLUE), (0.9, 0.9, WHITE))


@pytest.mark.parametrize(
    ("query", "corners"),
    [
        ("rot=90", (BLUE, RED, WHITE, GREEN)),
        ("rot=180", (WHITE, BLUE, GREEN, RED)),
        ("rot=270", (GREEN, WHITE, RED, BLUE)),
        ("flip=h", (GREEN, RED, WHITE, BLUE)),
        ("flip=v", (BLUE, WHITE, RED, GREEN)),
        ("flip=hv", (WHITE, BLUE, GREEN, RED)),
        ("rot=90&flip=h", (RED, BLUE, GREEN, WHITE)),
        ("orient=6", (BLUE, RED, WHITE, GREEN)),
        ("orient=90", (BLUE, RED, WHITE, GREEN)),
    ],
)
def test_turns_go_clockwise_and_flips_come_last(query: str, corners: tuple[tuple[int, ...], ...]) -> None:
    picture = opened(made(encoded(quarters(), "png"), query).data)
    places = ((0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9))
    assert [near(color_at(picture, *place), color) for place, color in zip(places, corners, strict=True)] == [True] * 4


@pytest.mark.parametrize(
    ("query", "place", "color"),
    [
        ("w=20&h=80&crop=top,left", (0.1, 0.1), RED),
        ("w=20&h=80&crop=right,top", (0.1, 0.1), GREEN),
        ("w=80&h=20&crop=bottom,left", (0.1, 0.1), BLUE),
        ("w=80&h=20&crop=focalpoint&fp-x=0.9&fp-y=0.9&fp-z=2", (0.9, 0.9), WHITE),
        ("w=20&h=20&rect=200,0,200,150", (0.1, 0.1), GREEN),
        ("w=20&h=20&rect=0.0,0.5,0.5,0.5", (0.1, 0.1), BLUE),
    ],
)
def test_crops_take_the_requested_part(query: str, place: tuple[float, float], color: tuple[int, ...]) -> None:
    assert near(color_at(opened(made(encoded(quarters(), "png"), query).data), *place), color)


@pytest.mark.parametrize("interest", ["entropy", "edges"])
def test_an_interest_crop_keeps_what_is_interesting(interest: str) -> None:
    plain = (pyvips.Image.black(600, 200, bands=3) + 128).cast("uchar").copy(interpretation="srgb")
    data = encoded(plain.insert(noise(150, 150), 440, 25), "png")
    picture = opened(made(data, f"w=200&h=200&crop={interest}").data)
    assert picture.deviate() > 10  # a crop from the middle is plain: 0


def test_slanted_rotation_shows_the_background_in_the_corners() -> None:
    picture = opened(made(encoded(quarters(), "png"), "w=300&rot=30&bg=ff00ff").data)
    assert near(color_at(picture, 0.01, 0.01), (255, 0, 255))
    clear = opened(made(encoded(quarters(), "png"), "w=300&rot=30&fm=webp").data)
    assert color_at(clear, 0.01, 0.01)[3] == 0
    assert near(color_at(clear, 0.5, 0.25)[:3], color_at(picture, 0.5, 0.25))


@pytest.mark.parametrize(
    ("query", "corner"),
    [
        ("fit=fill", (255, 255, 255)),
        ("fit=fill&bg=000", (0, 0, 0)),
        ("fit=fill&fill-color=00f", (0, 0, 255)),
        ("fit=clamp", RED),
    ],
)
def test_a_canvas_is_filled_as_requested(query: str, corner: tuple[int, ...]) -> None:
    picture = opened(made(encoded(quarters(), "png"), f"w=200&h=300&{query}").data)
    assert (picture.width, picture.height) == (200, 300)
    assert near(color_at(picture, 0.01, 0.01), corner)
    assert near(color_at(picture, 0.25, 0.4), RED)


@pytest.mark.parametrize("name", READ)
def test_a_blurred_backdrop_is_made_of_the_picture(name: str) -> None:
    picture = opened(made(encoded(quarters(), name), "w=200&h=300&fit=fill&fill=blur&fm=png").data)
    corner = color_at(picture, 0.05, 0.02)
    assert corner[0] > corner[1] + 60
    assert near(color_at(picture, 0.25, 0.4), RED)


def test_a_blurred_backdrop_shows_through_transparency() -> None:
    left_half = pyvips.Image.black(400, 300).draw_rect(255, 0, 0, 200, 300, fill=True)
    red = (pyvips.Image.black(400, 300, bands=3) + list(RED)).cast("uchar").copy(interpretation="srgb")
    picture = opened(made(encoded(red.bandjoin(left_half), "png"), "w=200&h=300&fit=fill&fill=blur&bg=00f&fm=png").data)
    assert near(color_at(picture, 0.25, 0.5), RED)
    beside, above = color_at(picture, 0.55, 0.5), color_at(picture, 0.55, 0.1)
    assert near(beside, above)
    assert min(beside[0], beside[2]) > 30  # red and blue, blurred


@pytest.mark.parametrize("query", ["w=200&h=300&fit=fill", "w=200&rot=45", "w=200&pad=40"])
@pytest.mark.parametrize("name", ["png", "jpg"])
def test_a_translucent_background_is_even(query: str, name: str) -> None:
    clear = quarters().bandjoin(0)
    picture = opened(made(encoded(clear, "png"), f"{query}&bg=8000ff00&fm={name}").data)
    expected = (0, 255, 0, 128) if name == "png" else (127, 255, 127)
    assert near(color_at(picture, 0.02, 0.02), expected)
    assert near(color_at(picture, 0.5, 0.5), expected)


def test_transparency_lies_on_the_background_where_the_format_has_none() -> None:
    clear = quarters().bandjoin(0)
    assert near(color_at(opened(made(encoded(clear, "png"), "fm=jpg").data), 0.5, 0.5), (255, 255, 255))
    assert near(color_at(opened(made(encoded(clear, "png"), "fm=jpg&bg=00ff00").data), 0.5, 0.5), (0, 255, 0))
    assert color_at(opened(made(encoded(clear, "png"), "w=50&fm=webp").data), 0.5, 0.5)[3] == 0


def test_resizing_does_not_bleed_colors_of_transparent_pixels() -> None:
    red = quarters().crop(0, 0, 200, 150).bandjoin(255)
    hidden_green = (quarters().crop(201, 0, 150, 150)).bandjoin(0)
    picture = opened(made(encoded(red.join(hidden_green, "horizontal"), "png"), "w=35").data)
    edge = [picture.getpoint(x, 5) for x in range(picture.width)]
    assert all(near(pixel[:3], RED, 8) for pixel in edge if pixel[3] > 8)


@pytest.mark.parametrize("name", ["gif", "webp"])
@pytest.mark.parametrize("output", ["gif", "webp"])
def test_an_animation_stays_one_through_resize_and_crop(name: str, output: str) -> None:
    data = animation([RED, GREEN, BLUE], name)
    rendition = made(data, f"w=32&h=16&fm={output}&lossless=1")
    picture = opened(rendition.data, n=-1)
    assert (picture.width, picture.get("page-height"), picture.get("n-pages")) == (32, 16, 3)
    assert (rendition.width, rendition.height) == (32, 16)
    assert picture.get("delay") == [100, 200, 300]
    assert picture.get("loop") == 3
    seen = [picture.getpoint(16, 8 + 16 * at)[:3] for at in range(3)]
    assert [near(one, other) for one, other in zip(seen, (RED, GREEN, BLUE), strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("query", "color"), [("frame=2", GREEN), ("animate=0", RED), ("frame=3&fm=png", BLUE), ("fm=jpg", RED)]
)
def test_one_frame_of_an_animation(query: str, color: tuple[int, ...]) -> None:
    picture = opened(made(animation([RED, GREEN, BLUE]), query).data)
    assert not picture.get_typeof("n-pages") or picture.get("n-pages") == 1
    assert near(color_at(picture, 0.5, 0.5), color)


def test_a_frame_that_is_not_there_is_a_mistake_of_the_url() -> None:
    with pytest.raises(BadTransform, match=r"frame: expected 1\.\.3"):
        made(animation([RED, GREEN, BLUE]), "frame=4")


def test_an_animation_over_the_limit_is_its_first_frame_and_says_so() -> None:
    rendition = made(animation([RED, GREEN, BLUE]), "w=32", limits=Limits(animation_pixels=10_000))
    assert opened(rendition.data).height == 32
    assert "first frame" in rendition.notes[0]


def test_pages_of_a_tiff_are_counted_from_one() -> None:
    pages = pyvips.Image.arrayjoin([quarters(64, 64), noise(64, 64)], across=1).copy()
    pages.set_type(pyvips.GValue.gint_type, "page-height", 64)
    data = encoded(pages, "tiff")
    assert near(color_at(opened(made(data, "page=1&fm=png").data), 0.1, 0.1), RED)
    assert not near(color_at(opened(made(data, "page=2&fm=png").data), 0.1, 0.1), RED)
    with pytest.raises(BadTransform):
        made(data, "page=3")


def test_an_svg_is_drawn_sharp_at_the_requested_size() -> None:
    rendition = made(SVG, "w=1200&h=900")
    picture = opened(rendition.data)
    assert (picture.width, picture.height, rendition.media_type) == (1200, 900, "image/png")
    assert near(picture.getpoint(597, 200)[:3], RED, 1)
    assert near(picture.getpoint(602, 200)[:3], GREEN, 1)
    assert picture.getpoint(900, 800)[3] == 0


def test_an_svg_without_a_size_has_its_own() -> None:
    assert (made(SVG).width, made(SVG).height) == (40, 30)


def test_an_svg_is_not_enlarged_where_nothing_may_be() -> None:
    assert (made(SVG, "w=2000&h=2000&fit=max").width, made(SVG, "w=20&h=20&fit=max").width) == (40, 20)


def test_an_svg_fetches_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(quarters(), "png"))
    link = f'<image width="40" height="30" href="file://{tmp_path}/secret.png"/>'.encode()
    picture = opened(made(SVG.replace(b"</svg>", link + b"</svg>"), "w=40").data)
    assert picture.getpoint(30, 25)[3] == 0


def test_wide_gamut_is_converted_by_its_profile() -> None:
    p3 = quarters().icc_transform("p3", input_profile="srgb", intent="relative")
    picture = opened(made(encoded(p3, "png", profile="p3"), "w=200").data)
    assert near(color_at(picture, 0.25, 0.25), RED, 4)
    assert not picture.get_typeof("icc-profile-data")
    kept = opened(made(encoded(p3, "png", profile="p3"), "w=200&cs=origin").data)
    assert kept.get_typeof("icc-profile-data")
    stripped = opened(made(encoded(p3, "png", profile="p3"), "w=200&cs=strip").data)
    assert not near(color_at(stripped, 0.25, 0.25), RED, 4)


def test_cmyk_is_converted() -> None:
    cmyk = quarters().icc_transform("cmyk", input_profile="srgb", intent="relative")
    for options in ({"profile": "cmyk"}, {"keep": "none"}):
        picture = opened(made(encoded(cmyk, "jpg", **options), "w=200").data)
        assert picture.bands == 3
        red = color_at(picture, 0.25, 0.25)
        assert red[0] > 170
        assert red[1] < 90


def test_sixteen_bits_become_eight() -> None:
    deep = (quarters().cast("ushort") * 257).copy(interpretation="rgb16")
    for output in ("png", "webp", "avif"):
        picture = opened(made(encoded(deep, "png"), f"w=200&fm={output}").data)
        assert picture.format == "uchar"
        assert near(color_at(picture, 0.25, 0.25), RED)


@pytest.mark.parametrize("output", WRITTEN)
def test_gray_stays_gray(output: str) -> None:
    data = encoded(quarters().colourspace("b-w"), "jpg")
    pixel = color_at(opened(made(data, f"w=100&fm={output}").data), 0.25, 0.25)
    assert max(pixel[:3]) - min(pixel[:3]) <= 2 or len(pixel) < 3


@pytest.mark.parametrize(("profile", "same"), [("srgb", True), ("p3", False), ("cmyk", False)])
def test_only_a_profile_that_is_srgb_by_another_name_is_not_converted(profile: str, same: bool) -> None:
    image = quarters().copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", bytes(pyvips.Image.profile_load(profile)))
    assert color.has_srgb_profile(image) is same
    assert color.has_srgb_profile(image.cast("ushort").copy(interpretation="rgb16")) is False
    converted = color.to_output(image, Transform())
    assert not converted.get_typeof("icc-profile-data")
    assert ((converted - quarters()).abs().max() == 0) is (profile != "p3")


def test_a_damaged_profile_is_passed_over() -> None:
    image = quarters().copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", b"no profile at all" * 20)
    assert near(color_at(opened(made(encoded(image, "jpg"), "w=100").data), 0.25, 0.25), RED)


def _tagged() -> bytes:
    image = noise(300, 200).copy()
    for name, value in (
        ("exif-ifd0-Copyright", "Jane Doe 2026"),
        ("exif-ifd0-Artist", "Jane Doe"),
        ("exif-ifd0-Make", "SpyCam"),
        ("exif-ifd2-BodySerialNumber", "SN-12345"),
        ("exif-ifd3-GPSLatitude", "52/1 30/1 0/1"),
    ):
        image.set_type(pyvips.GValue.gstr_type, name, value)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta>SN-12345</x:xmpmeta>")
    return encoded(image, "jpg")


@pytest.mark.parametrize("output", ["jpg", "png", "webp", "avif"])
def test_private_metadata_is_stripped_and_rights_are_kept(output: str) -> None:
    data = made(_tagged(), f"w=100&fm={output}").data
    assert b"Jane Doe 2026" in data
    assert not any(secret in data for secret in (b"SpyCam", b"SN-12345", b"GPS", b"xmpmeta"))
    picture = opened(data)
    assert "Jane Doe" in picture.get("exif-ifd0-Artist")
    assert "exif-ifd3-GPSLatitude" not in picture.get_fields()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<?php system($_GET[0]); ?>", "(?php system($_GET[0]); ?)"),
        ("Acme (c) (2020)", "Acme (c) (2020)"),
        ("Jane <jane@example.org>", "Jane (jane@example.org)"),
        ("two\nlines\x01", "two lines"),
        ("x" * 5000, "x" * 300),
    ],
)
@pytest.mark.parametrize("output", ["jpg", "webp"])
def test_rights_are_plain_text_of_bounded_length(text: str, kept: str, output: str) -> None:
    image = noise(300, 200).copy()
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Copyright", f"{text} ()")
    data = made(encoded(image, "jpg"), f"w=100&fm={output}").data
    assert opened(data).get("exif-ifd0-Copyright").startswith(f"{kept}  ({kept} , ASCII")
    assert b"<?php" not in data
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Copyright", f"{text} ()")
    whole = made(encoded(image, "jpg", Q=20), "").data
    assert kept.encode() in whole
    assert b"<?php" not in whole
    assert b"x" * 301 not in whole


def test_metadata_can_go_or_stay_whole() -> None:
    assert b"Jane" not in made(_tagged(), "w=100&metadata=strip").data
    kept = made(_tagged(), "w=100&metadata=keep").data
    assert b"SpyCam" in kept
    assert b"xmpmeta" in kept


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "avif", "tiff", "heic", "gif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_half_a_file_is_an_error_and_not_half_a_picture(name: str, share: float) -> None:
    data = encoded_noise(name)
    with pytest.raises((UnreadableImage, UnsupportedImage)):
        made(data[: int(len(data) * share)], "w=400")


@pytest.mark.parametrize("name", ["jpg", "png"])
def test_what_can_be_decoded_is_served_where_that_is_set(name: str) -> None:
    data = encoded_noise(name)
    picture = opened(made(data[: len(data) * 3 // 4], "w=400", damaged=True).data)
    assert (picture.width, picture.height) == (400, 300)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 100, b"GIF89a", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"<svg", b"1 2 3\n4 5 6\n", b"P5 2 2 255 aaaa",
     b"II*\0\x08\0\0\0\0\0", b"\x1f\x8b\x08\0\0\0", b"%PDF-1.7", b"#!/bin/sh\n"],
)  # fmt: skip
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises((UnreadableImage, UnsupportedImage)):
        made(data, "w=100")


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(original_bytes=1000), "original_bytes"),
        (Limits(original_pixels=1000), "original_pixels"),
        (Limits(original_side=300), "original_side"),
    ],
)
@pytest.mark.parametrize("format_name", READ)
def test_limits_hold_before_decoding(limits: Limits, name: str, format_name: str) -> None:
    with pytest.raises((LimitExceeded, TooLarge), match=name):
        made(encoded_noise(format_name), limits=limits)


def test_an_svg_may_not_claim_any_size() -> None:
    huge = b'<svg xmlns="http://www.w3.org/2000/svg" width="100000" height="100000"/>'
    with pytest.raises(LimitExceeded, match="svg_side"):
        made(huge, "w=100")


def test_an_svgz_may_not_inflate_without_end() -> None:
    import gzip  # noqa: PLC0415  only here

    bomb = gzip.compress(
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">' + b" " * 20_000_000 + b"</svg>"
    )
    with pytest.raises(LimitExceeded, match="svg_bytes"):
        made(bomb, "w=100")
    assert made(gzip.compress(SVG), "w=80").width == 80


def test_a_camera_raw_is_not_taken_for_a_tiff() -> None:
    dng = bytearray(encoded(quarters(), "tiff"))
    offset = int.from_bytes(dng[4:8], "little")
    dng[offset + 2 : offset + 4] = (50706).to_bytes(2, "little")
    with pytest.raises(UnsupportedImage, match="RAW"):
        made(bytes(dng), "w=100")


def test_heic_orientation_is_applied_once() -> None:
    assert near(color_at(opened(made(heic(quarters()), "w=200&fm=png").data), 0.1, 0.1), RED)


@pytest.mark.parametrize("output", ["png", "gif"])
@pytest.mark.parametrize("colors", [2, 3, 8, 31, 64, 200, 256])
def test_a_palette_has_at_most_the_requested_colors(output: str, colors: int) -> None:
    picture = opened(made(encoded(noise(200, 200), "png"), f"fm={output}&colors={colors}").data)
    pixels, bands = picture.write_to_memory(), picture.bands
    seen = {bytes(pixels[at : at + bands]) for at in range(0, len(pixels), bands)}
    assert 2 <= len(seen) <= colors


@pytest.mark.parametrize(
    ("query", "progressive"),
    [
        ("", False),
        ("progressive=1", True),
        ("fm=pjpg", True),
        ("progressive=0", False),
        ("fm=pjpg&progressive=0", False),
    ],
)
def test_a_jpeg_is_baseline_unless_a_progressive_one_is_requested(query: str, progressive: bool) -> None:
    picture = opened(made(encoded_noise("jpg"), query).data)
    assert bool(picture.get_typeof("interlaced")) is progressive


def test_probing_returns_format_frames_and_alpha() -> None:
    info = probe(animation([RED, GREEN]))
    assert (info.format, info.frames) == ("gif", 2)
    assert probe(encoded(quarters().bandjoin(128), "png")).alpha
