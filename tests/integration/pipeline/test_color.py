"""Colors that originals declare, and colors next to transparency: what arrives in a rendition."""

import io
import struct
import zlib
from collections.abc import Callable, Sequence

import pillow_heif
import pytest
import pyvips
from PIL import Image

from imgserve.model import Limits
from imgserve.pipeline.facts import facts_of
from imgserve.pipeline.render import render
from imgserve.transform import parse_query
from tests.pictures import color_at, encoded, near, opened

P3_RED, SRGB_RED = (200, 60, 60), (217, 42, 52)
"""The same color in Display P3 and in sRGB."""
PQ_WHITE, HLG_WHITE = 0.5807, 0.75
"""Signals of reference white (ITU-R BT.2408)."""


def rendered(data: bytes, query: str = "fm=png") -> pyvips.Image:
    return opened(render(data, parse_query(query).transform).data)


def middle(data: bytes, query: str = "fm=png") -> tuple[float, ...]:
    return color_at(rendered(data, query), 0.5, 0.5)


def plain(color: Sequence[int], size: int = 64) -> Image.Image:
    return Image.new("RGBA" if len(color) == 4 else "RGB", (size, size), tuple(color))


def avif(color: Sequence[int], primaries: int = 1, transfer: int = 13, **options: object) -> bytes:
    buffer = io.BytesIO()
    plain(color).save(buffer, "AVIF", quality=100, subsampling="4:4:4", **options)
    data = bytearray(buffer.getvalue())
    at = data.index(b"colrnclx") + 8
    data[at : at + 4] = struct.pack(">HH", primaries, transfer)
    return bytes(data)


def heic(color: Sequence[int], primaries: int, transfer: int) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(plain(color)).save(
        buffer, quality=95, color_primaries=primaries, transfer_characteristics=transfer, chroma=444
    )
    return buffer.getvalue()


def deep_heic(level: float, transfer: int) -> bytes:
    pixels = struct.pack("<H", round(level * 65535)) * (64 * 64 * 3)
    buffer = io.BytesIO()
    pillow_heif.from_bytes(mode="RGB;16", size=(64, 64), data=pixels).save(
        buffer, quality=95, color_primaries=9, transfer_characteristics=transfer, matrix_coefficients=9
    )
    return buffer.getvalue()


def png(color: Sequence[int], chunks: dict[bytes, bytes], *, deep: bool = False) -> bytes:
    image = (pyvips.Image.black(64, 64, bands=len(color)) + list(color)).cast("ushort" if deep else "uchar")
    data = image.copy(interpretation="rgb16" if deep else "srgb" if len(color) > 2 else "b-w").pngsave_buffer()
    added = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks.items()
    )
    return bytes(data[:33] + added + data[33:])


def cicp(primaries: int, transfer: int, full: int = 1) -> dict[bytes, bytes]:
    return {b"cICP": bytes([primaries, transfer, 0, full])}


def chrm(*xy: float) -> bytes:
    return struct.pack(">8I", *(round(part * 100_000) for part in xy))


P3_CHRM = chrm(0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
SRGB_CHRM = chrm(0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)


def gama(value: float) -> bytes:
    return struct.pack(">I", round(value * 100_000))


def with_exif(name: str, *, interoperability: str = "", color_space: int = 0) -> bytes:
    exif = Image.Exif()
    if interoperability:
        exif.get_ifd(0x8769)[0xA005] = {1: interoperability}
    exif.get_ifd(0x8769)[0xA001] = color_space or 0xFFFF
    buffer = io.BytesIO()
    plain(P3_RED).save(buffer, name, quality=100, exif=exif)
    return buffer.getvalue()


DECLARED: dict[str, tuple[Callable[[], bytes], tuple[int, ...]]] = {
    "avif, P3": (lambda: avif(P3_RED, 12), SRGB_RED),
    "avif, sRGB": (lambda: avif(P3_RED), P3_RED),
    "avif, unspecified": (lambda: avif(P3_RED, 2, 2), P3_RED),
    "avif, video": (lambda: avif(P3_RED, 1, 1), P3_RED),
    "avif, unknown codes": (lambda: avif(P3_RED, 77, 99), P3_RED),
    "avif, P3, with alpha": (lambda: avif((*P3_RED, 128), 12), (*SRGB_RED, 128)),
    "heic, P3": (lambda: heic(P3_RED, 12, 13), SRGB_RED),
    "png, P3": (lambda: png(P3_RED, cicp(12, 13)), SRGB_RED),
    "png, P3, with alpha": (lambda: png((*P3_RED, 128), cicp(12, 13)), (*SRGB_RED, 128)),
    "png, P3, 16 bits": (lambda: png([part * 257 for part in P3_RED], cicp(12, 13), deep=True), SRGB_RED),
    "png, P3 over an sRGB chunk": (lambda: png(P3_RED, {b"sRGB": b"\0"} | cicp(12, 13)), SRGB_RED),
    "png, narrow range": (lambda: png((188, 68, 68), cicp(1, 13, full=0)), (200, 61, 61)),
    "png, narrow range, 16 bits": (
        lambda: png([part * 256 for part in (188, 68, 68)], cicp(1, 13, full=0), deep=True), (200, 61, 61)
    ),
    "png, P3 by chromaticities": (lambda: png(P3_RED, {b"gAMA": gama(0.45455), b"cHRM": P3_CHRM}), SRGB_RED),
    "png, sRGB by chromaticities": (lambda: png(P3_RED, {b"gAMA": gama(0.45455), b"cHRM": SRGB_CHRM}), P3_RED),
    "png, sRGB over chromaticities": (lambda: png(P3_RED, {b"sRGB": b"\0", b"cHRM": P3_CHRM}), P3_RED),
    "png, linear": (lambda: png((128, 55, 10), {b"gAMA": gama(1.0)}), (188, 128, 56)),
    "png, gray, linear": (lambda: png((128,), {b"gAMA": gama(1.0)}), (188, 188, 188)),
    "png, gamma 0": (lambda: png(P3_RED, {b"gAMA": gama(0)}), P3_RED),
    "png, impossible chromaticities": (lambda: png(P3_RED, {b"cHRM": bytes(32)}), P3_RED),
    "jpg, Adobe RGB by R03": (lambda: with_exif("JPEG", interoperability="R03"), (231, 57, 57)),
    "jpg, Adobe RGB by color space": (lambda: with_exif("JPEG", color_space=2), (231, 57, 57)),
    "jpg, R98": (lambda: with_exif("JPEG", interoperability="R98", color_space=1), P3_RED),
    "webp, Adobe RGB by R03": (lambda: with_exif("WEBP", interoperability="R03"), (231, 57, 57)),
}  # fmt: skip


@pytest.mark.parametrize("name", DECLARED)
@pytest.mark.parametrize("query", ["fm=png", "w=20&fm=png"])
def test_declared_color_is_converted(name: str, query: str) -> None:
    original, expected = DECLARED[name]
    assert near(middle(original(), query), expected, 4), middle(original(), query)


def test_a_declaration_in_exif_is_not_lost_with_it() -> None:
    picture = rendered(with_exif("JPEG", interoperability="R03"), "profile=origin")
    assert near(picture.icc_transform("srgb", embedded=True, intent="relative").getpoint(5, 5), (231, 57, 57), 4)


def test_gray_has_no_primaries() -> None:
    data = png((120,), cicp(12, 13))
    assert facts_of(data, "1", Limits()).color_space == "gray"
    assert near(middle(data), (120,), 0)


@pytest.mark.parametrize("name", ["avif, P3", "heic, P3", "png, P3"])
def test_declared_color_becomes_a_profile_where_colors_are_kept(name: str) -> None:
    picture = rendered(DECLARED[name][0](), "fm=png&profile=origin")
    assert near(color_at(picture, 0.5, 0.5), P3_RED, 3)
    assert near(picture.icc_transform("srgb", embedded=True, intent="relative").getpoint(5, 5), SRGB_RED, 4)
    assert near(middle(DECLARED[name][0](), "fm=png&profile=strip"), P3_RED, 3)


@pytest.mark.parametrize(
    ("name", "space"),
    [
        ("avif, P3", "display-p3"),
        ("png, P3", "display-p3"),
        ("jpg, Adobe RGB by R03", "adobe-rgb"),
        ("avif, sRGB", "srgb"),
    ],
)
def test_the_catalog_names_the_declared_space(name: str, space: str) -> None:
    assert facts_of(DECLARED[name][0](), "1", Limits()).color_space == space


def gray(level: float) -> tuple[int, int, int]:
    return (round(level * 255),) * 3


def deep_png(level: float, transfer: int) -> bytes:
    return png([round(level * 65535)] * 3, cicp(9, transfer), deep=True)


HDR: dict[str, Callable[[float, int], bytes]] = {
    "avif": lambda level, transfer: avif(gray(level), 9, transfer),
    "heic": deep_heic,
    "png": lambda level, transfer: png(gray(level), cicp(9, transfer)),
    "png of 16 bits": deep_png,
}


@pytest.mark.parametrize("name", HDR)
@pytest.mark.parametrize(("transfer", "white"), [(16, PQ_WHITE), (18, HLG_WHITE)])
def test_reference_white_of_hdr_is_nearly_white(name: str, transfer: int, white: float) -> None:
    def level(signal: float) -> float:
        shown = middle(HDR[name](signal, transfer), "w=32&fm=png")
        assert max(shown[:3]) - min(shown[:3]) <= 3, "it is gray"
        return shown[1]

    assert near([level(white)], [240], 3)
    assert level(0) <= 1
    assert level(white) < level(white * 1.15) <= 255, "highlights are brighter still"


def test_middle_gray_of_hdr_is_the_same_in_sdr() -> None:
    # 18 % of reference white is 36.5 candela: 0.4083 in PQ, 0.4362 in HLG, 118 in sRGB.
    assert near(middle(deep_png(0.4083, 16)), (118, 118, 118), 2)
    assert near(middle(deep_png(0.4362, 18)), (118, 118, 118), 2)


def test_facts_of_hdr_are_those_of_its_rendition() -> None:
    facts = facts_of(deep_png(PQ_WHITE, 16), "1", Limits())
    assert (facts.color_space, facts.dominant_color) == ("rec2020", "#f0f0f0")


@pytest.mark.parametrize("query", ["fm=png", "w=20&fm=png", "rot=90&fm=webp&lossless=1"])
def test_premultiplied_alpha_is_divided_out(query: str) -> None:
    data = avif((200, 120, 40, 102), alpha_premultiplied=True)
    assert near(middle(data, query), (200, 120, 40, 102), 4)


SQUARE = (100, 60, 20)


def square(*, deep: bool = False) -> bytes:
    ink = [*SQUARE, 255]
    image = pyvips.Image.black(120, 120, bands=4).draw_rect(ink, 30, 30, 61, 61, fill=True).cast("uchar")
    if deep:
        image = (image.cast("ushort") * 257).cast("ushort").copy(interpretation="rgb16")
    return encoded(image if deep else image.copy(interpretation="srgb"), "png")


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    "query",
    ["rotate=30", "w=40", "w=77", "w=300&enlarge=1", "rotate=12.5&w=60", "w=50&h=90&fit=fill", "w=31&rot=45&flip=h",
     "w=60&h=40&fit=crop&crop=entropy", "rotate=30&bg=00000000"],
)  # fmt: skip
def test_edges_next_to_transparency_keep_their_color(query: str, deep: bool) -> None:
    picture = rendered(square(deep=deep), f"{query}&format=png")
    pixels = picture.write_to_memory()
    partly = 0
    for at in range(0, len(pixels), 4):
        *color, alpha = pixels[at : at + 4]
        # A step of color is one of 255 only where the pixel is opaque.
        if alpha >= 4:
            assert near(color, SQUARE, 1.5), (color, alpha)
            partly += alpha < 250
    assert partly or query.startswith("w=40"), "it has edges"


def lab_tiff(values: Sequence[int], bits: int, photometric: int = 8, order: str = "<") -> bytes:
    """Return a TIFF of one color, as the specification describes it."""
    channels, size = len(values), 64
    pixels = struct.pack(order + ("B" if bits == 8 else "H") * channels, *values) * (size * size)
    tags = [
        (256, size),
        (257, size),
        (258, None),
        (259, 1),
        (262, photometric),
        (273, None),
        (277, channels),
        (278, size),
    ]
    tags += [(279, None), (284, 1)] + ([(338, 2)] if channels > 3 else [])
    start = 8 + 2 + 12 * len(tags) + 4
    long = {258: start, 273: start + 2 * channels, 279: len(pixels)}
    entries = b"".join(
        struct.pack(order + "HHII", tag, 3 if tag == 258 else 4, channels if tag == 258 else 1, long[tag])
        if tag in long
        else struct.pack(order + "HHIHH", tag, 3, 1, value, 0)
        for tag, value in tags
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    return head + entries + bytes(4) + struct.pack(order + "H" * channels, *[bits] * channels) + pixels


LAB_RED = (200, 99, 97)
"""L 54, a 40, b 20."""


@pytest.mark.parametrize(
    ("values", "bits", "photometric"),
    [
        ((138, 40, 20), 8, 8),
        ((138, 40, 20, 128), 8, 8),
        ((35389, 40 * 256, 20 * 256), 16, 8),
        ((35389, 40 * 256, 20 * 256, 128 * 257), 16, 8),
        ((138, 168, 148), 8, 9),
        ((54 * 65280 // 100, 168 * 256, 148 * 256), 16, 9),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("query", ["fm=png", "w=20&fm=png", "fm=jpg&q=95&bg=000"])
def test_cielab_becomes_a_picture(values: Sequence[int], bits: int, photometric: int, order: str, query: str) -> None:
    data = lab_tiff(values, bits, photometric, order)
    red = [round(part * 128 / 255) for part in LAB_RED] if len(values) > 3 and "jpg" in query else LAB_RED
    assert near(middle(data, query)[:3], red, 3)
    if len(values) > 3 and "png" in query:
        assert middle(data, query)[3] == 128
    facts = facts_of(data, "1", Limits())
    assert (facts.color_space, facts.alpha, facts.dominant_color) == ("lab", len(values) > 3, "#c86361")


def test_cielab_of_negative_values_is_green_and_blue() -> None:
    assert near(middle(lab_tiff((138, 256 - 20, 256 - 20), 8)), (43, 140, 163), 3)


def test_a_lab_tiff_of_pillow_is_read() -> None:
    buffer = io.BytesIO()
    Image.new("LAB", (50, 40), (138, 168, 148)).save(buffer, "TIFF", compression="tiff_lzw")
    assert near(middle(buffer.getvalue()), LAB_RED, 3)
