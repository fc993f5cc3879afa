"""What a rendition says about its colors."""

import io
import struct

import pi_heif
import pytest
import pyvips
from PIL import Image

from imgserve.formats import png_chunks
from imgserve.pipeline.nclx import with_declared_colors
from imgserve.pipeline.render import render
from imgserve.transform import parse_query
from tests.pictures import BLUE, GREEN, RED, encoded, near, opened, quarters


def rendered(image: pyvips.Image, query: str, **options: object) -> bytes:
    return render(encoded(image, "png", **options), parse_query(query).transform).data


def color_boxes(data: bytes) -> list[tuple[object, ...]]:
    """Return the kind of each `colr` box of a HEIF file, and the codes of those that have codes."""
    found: list[tuple[object, ...]] = []
    at = data.find(b"colr")
    while at >= 0:
        kind = data[at + 4 : at + 8]
        found.append((kind, *struct.unpack_from(">HHHB", data, at + 8)) if kind == b"nclx" else (kind,))
        at = data.find(b"colr", at + 4)
    return found


@pytest.mark.parametrize(
    ("query", "matrix"),
    [
        ("w=200&fm=avif", 6),
        ("w=200&fm=avif&chroma=444&q=90", 6),
        ("w=200&fm=avif&metadata=keep", 6),
        ("fm=avif&lossless=1", 0),
    ],
)
def test_an_avif_declares_srgb(query: str, matrix: int) -> None:
    data = rendered(quarters(), query)
    assert color_boxes(data) == [(b"nclx", 1, 13, matrix, 0x80)]
    read = pi_heif.open_heif(data).info["nclx_profile"]
    assert (read["color_primaries"], read["transfer_characteristics"], read["matrix_coefficients"]) == (1, 13, matrix)
    with Image.open(io.BytesIO(data)) as picture:
        shown = picture.convert("RGB")
        middle = shown.height // 2
        seen = [shown.getpixel(at) for at in ((20, middle - 20), (shown.width - 20, middle - 20), (20, middle + 20))]
    for color, wanted in zip(seen, (RED, GREEN, BLUE), strict=True):
        assert isinstance(color, tuple)
        assert near(color, wanted, 6)


def test_a_gray_avif_declares_the_curve_of_srgb() -> None:
    assert color_boxes(rendered(quarters().colourspace("b-w"), "w=100&fm=avif")) == [(b"nclx", 1, 13, 6, 0x80)]


def test_an_avif_with_alpha_stays_transparent() -> None:
    picture = quarters().bandjoin((pyvips.Image.xyz(400, 300)[0] < 200).ifthenelse(255, 0).cast("uchar"))
    with Image.open(io.BytesIO(rendered(picture, "w=200&fm=avif"))) as shown:
        assert shown.mode == "RGBA"
        alphas = [shown.getpixel((x, 100)) for x in (20, 180)]
    assert [color[3] for color in alphas if isinstance(color, tuple)] == [255, 0]


@pytest.mark.parametrize("output", ["jpg", "png", "webp", "avif"])
def test_display_p3_is_converted_or_stays_declared(output: str) -> None:
    wide = quarters().icc_transform("p3", input_profile="srgb", intent="relative")
    converted = opened(rendered(wide, f"w=200&fm={output}&q=95", profile="p3"))
    assert near(converted.getpoint(20, 20), RED, 8)
    assert not converted.get_typeof("icc-profile-data")
    data = rendered(wide, f"w=200&fm={output}&cs=origin", profile="p3")
    assert opened(data).get("icc-profile-data") == pyvips.Image.profile_load("p3")
    assert color_boxes(data) == ([(b"rICC",)] if output == "avif" else [])


def test_other_formats_leave_srgb_to_the_reader() -> None:
    jpeg, webp, png = (rendered(quarters(), f"w=200&fm={name}") for name in ("jpg", "webp", "png"))
    assert b"ICC_PROFILE" not in jpeg
    assert b"Adobe" not in jpeg
    assert b"ICCP" not in webp
    assert not {kind for kind, _ in png_chunks(png)} & {b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"}


def test_a_declared_avif_is_left_as_it_is() -> None:
    data = rendered(quarters(), "w=200&fm=avif")
    assert with_declared_colors(data) == data


def test_an_unknown_structure_is_an_error() -> None:
    with pytest.raises(ValueError, match="no box meta"):
        with_declared_colors(b"\0\0\0\x08ftyp")
