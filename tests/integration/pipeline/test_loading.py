"""What originals of every format become: sizes, pages, bands, units, fonts, frames, and the right error."""

import io
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import pyvips
from PIL import Image, ImageSequence

from imgserve.errors import LimitExceeded, UnreadableImage, UnsupportedImage
from imgserve.model import Facts, Limits, Rendition
from imgserve.pipeline import pillow
from imgserve.pipeline.facts import facts_of
from imgserve.pipeline.failures import failure
from imgserve.pipeline.load import FONTS, recognize
from imgserve.pipeline.render import render
from imgserve.transform import parse_query
from tests.gifs import plain_gif
from tests.pictures import BLUE, GREEN, RED, color_at, encoded, near, noise, opened, quarters


def made(data: bytes, query: str = "fm=png", limits: Limits | None = None) -> Rendition:
    return render(data, parse_query(query).transform, limits=limits)


def facts(data: bytes) -> Facts:
    return facts_of(data, "1_1", Limits())


def saved(pictures: list[Image.Image], kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:]} if len(pictures) > 1 else {}
    pictures[0].save(buffer, kind, **more, **options)
    return buffer.getvalue()


def plain(color: tuple[int, ...], size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new("RGB" if len(color) == 3 else "RGBA", size, color)


PAGES = saved([plain(RED, (400, 300)), plain(GREEN, (120, 200))], "TIFF")


@pytest.mark.parametrize(
    ("query", "size"), [("page=2&fm=png", (120, 200)), ("page=2&w=60&fm=png", (60, 100)), ("page=1&fm=png", (400, 300))]
)
def test_a_page_has_its_own_size(query: str, size: tuple[int, int]) -> None:
    rendition = made(PAGES, query)
    picture = opened(rendition.data)
    assert (picture.width, picture.height) == (rendition.width, rendition.height) == size
    assert near(color_at(picture, 0.5, 0.5), GREEN if "page=2" in query else RED)


def test_limits_are_those_of_the_requested_page() -> None:
    limits = Limits(original_pixels=30_000)
    assert made(PAGES[:], "page=2&w=10", Limits(original_pixels=400 * 300)).width == 10
    large = saved([plain(RED, (10, 10)), plain(GREEN, (400, 300))], "TIFF")
    assert made(large, "page=1&fm=png", limits).width == 10
    with pytest.raises(LimitExceeded, match="400x300"):
        made(large, "page=2&fm=png", limits)


def banded(bands: int, interpretation: str) -> bytes:
    image = quarters(80, 60).extract_band(0, n=min(3, bands))
    while image.bands < bands:
        image = image.bandjoin(128)
    return bytes(image.copy(interpretation=interpretation).tiffsave_buffer())


@pytest.mark.parametrize("bands", [5, 6, 8])
@pytest.mark.parametrize("interpretation", ["srgb", "multiband"])
def test_further_bands_are_dropped_by_every_part_alike(bands: int, interpretation: str) -> None:
    data = banded(bands, interpretation)
    assert near(color_at(opened(made(data).data), 0.1, 0.1), RED)
    found = facts(data)
    assert (found.alpha, found.color_space) == (False, "srgb")
    assert found.perceptual_hash == facts(banded(3, "srgb")).perceptual_hash
    assert made(data, "w=40&fm=jpg").width == 40


SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {}>{}</svg>'


def red_width(picture: pyvips.Image) -> int:
    left, _, width, _ = (picture[0] > 127).ifthenelse(255, 0).find_trim(background=0, threshold=100)
    return int(left + width)


@pytest.mark.parametrize(
    ("root", "length", "size", "red"),
    [
        ('viewBox="0 0 100 100" width="100" height="100"', "13.22mm", 100, 50),
        ('viewBox="0 0 100 100"', "13.22mm", 100, 50),
        ('width="100" height="100"', "0.5in", 100, 48),
        ('width="1in" height="1in"', "48", 96, 48),
        ('width="72pt" height="72pt"', "36pt", 96, 48),
    ],
)
def test_units_of_an_svg_are_those_of_browsers(root: str, length: str, size: int, red: int) -> None:
    data = SVG.format(root, f'<rect width="{length}" height="50" fill="red"/>').encode()
    picture = opened(made(data).data)
    assert (picture.width, facts(data).width) == (size, size)
    assert red_width(picture) == red
    assert red_width(opened(made(data, f"w={2 * size}&fm=png").data)) == 2 * red


UTF_16 = '<?xml version="1.0" encoding="UTF-16"?>\n<!-- ü -->' + SVG.format(
    'width="20" height="10"', '<rect width="20" height="10" fill="#dc1e1e"/>'
)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_an_svg_in_utf_16_is_drawn_and_passed_on(encoding: str) -> None:
    data = UTF_16.encode(encoding)
    assert near(color_at(opened(made(data).data), 0.5, 0.5), RED)
    assert (facts(data).format, facts(data).width) == ("svg", 20)
    assert b"<rect" in made(data, "w=20&fm=png").data or made(data).width == 20


def test_an_svg_in_its_declared_encoding_is_drawn() -> None:
    data = UTF_16.replace("UTF-16", "ISO-8859-1").encode("latin-1")
    assert made(data).width == 20


BIG = SVG.format(
    'width="10" height="10"', f'<image xlink:href="data:image/png;base64,{"A" * 10_000_100}"/><path d="M0 0"/>'
).encode()


def test_an_svg_with_a_large_data_url_is_drawn_up_to_the_limit_which_the_error_names() -> None:
    assert made(BIG).width == 10
    with pytest.raises(LimitExceeded, match="svg_bytes of 10000000"):
        made(BIG, limits=Limits(svg_bytes=10_000_000))


def uses(link: str) -> str:
    levels = [f'<g id="a{at}">' + f'<use {link}="#a{at - 1}"/>' * 10 + "</g>" for at in range(1, 9)]
    body = '<g id="a0"><rect width="1" height="1"/></g>' + "".join(levels)
    return SVG.format('width="9" height="9"', f'<defs>{body}</defs><use {link}="#a8"/>')


PATTERNS = SVG.format(
    'width="9" height="9"',
    '<pattern id="p0"><rect/></pattern>'
    + "".join(f'<pattern id="p{at}">' + f'<rect fill="url(#p{at - 1})"/>' * 12 + "</pattern>" for at in range(1, 8))
    + '<rect fill="url(#p7)"/>',
)
STYLES = "<style>" + "".join(f".c{at}, .d{at} {{ fill: url(#p{at}) }}" for at in range(8)) + "</style>"
STYLED = re.sub(r'fill="url\(#p(\d)\)"', r'class="x c\1"', PATTERNS).replace("</svg>", STYLES + "</svg>")
LAUGHS = '<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;"><!ENTITY c "&b;&b;">]>' + SVG.format(
    "", "<text>&c;</text>"
)


@pytest.mark.parametrize(
    ("bomb", "cause"),
    [
        (uses("href"), "references"),
        (uses("xlink:href"), "references"),
        (PATTERNS, "references"),
        (STYLED, "references"),
        (LAUGHS, "entities"),
    ],
)
def test_an_svg_that_repeats_itself_without_end_is_refused_before_it_is_drawn(
    bomb: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules["imgserve.pipeline.load"]._LOADERS, "svg", None)
    with pytest.raises(LimitExceeded, match=cause):
        made(bomb.encode())


HARMLESS = {
    "many shapes with one gradient": '<linearGradient id="g"><stop/><stop/></linearGradient>'
    + '<rect width="9" height="9" fill="url(#g)"/>' * 40_000,
    "a symbol used often": '<symbol id="s"><path d="M0 0h1"/></symbol>' + '<use href="#s"/>' * 2000,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_an_svg_that_repeats_what_drawings_repeat_is_drawn(name: str) -> None:
    assert made(SVG.format('width="9" height="9"', HARMLESS[name]).encode()).width == 9


def test_an_entity_that_names_a_namespace_is_read_as_drawing_programs_write_it() -> None:
    data = '<!DOCTYPE svg [<!ENTITY ns "http://www.w3.org/2000/svg">]><svg xmlns="&ns;" width="9" height="9"/>'
    assert made(data.encode()).width == 9


DRAWN_TEXT = """
import sys
from imgserve.pipeline import load
load.prepare()
import pyvips
svg = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="40"><text y="30" font-size="30" font-family='
def width(text):
    data = f'{svg}"Helvetica, Arial, sans-serif">{text}</text></svg>'.encode()
    return pyvips.Image.svgload_buffer(data)[3].find_trim(background=0, threshold=10)[2]
print(width("iiii"), width("WWWW"), width("Привет"), width("\\ue123" * 6))
"""


def test_text_is_drawn_on_a_machine_without_fonts(tmp_path: Path) -> None:
    for font in FONTS.iterdir():
        (tmp_path / font.name).write_bytes(font.read_bytes())
    config = tmp_path / "fonts.conf"
    config.write_text(config.read_text().replace("/etc/fonts/fonts.conf", "/nowhere"))
    environment = os.environ | {"FONTCONFIG_FILE": str(config), "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", DRAWN_TEXT], env=environment, capture_output=True, text=True, check=True
    )
    thin, wide, cyrillic, _boxes = map(int, done.stdout.split())
    assert wide > 3 * thin > 0  # boxes are all of one width
    assert 90 < cyrillic < 130


COMPLETE = {
    kind: bytes(noise(320, 240).jpegsave_buffer(interlace=kind == "progressive", Q=80))
    for kind in ("baseline", "progressive")
}


@pytest.mark.parametrize("kind", COMPLETE)
def test_a_jpeg_without_its_end_marker_is_a_picture_and_one_without_rows_is_not(kind: str) -> None:
    data = COMPLETE[kind]
    assert data.endswith(b"\xff\xd9")
    assert made(data[:-2], "fm=png").data == made(data, "fm=png").data
    assert facts(data[:-2]).width == 320
    for part in (0.5, 0.9):
        with pytest.raises(UnreadableImage):
            made(data[: int(len(data) * part)])


def test_a_jpeg_with_bytes_behind_its_end_is_read_as_before() -> None:
    data = COMPLETE["baseline"]
    assert made(data + b"\0trailer" * 9).data == made(data).data


def test_the_end_of_a_jpeg_is_not_looked_for_behind_countless_segments() -> None:
    data = COMPLETE["baseline"]
    few, many = (data[:2] + b"\xff\xfe\0\2" * number + data[2:] + b"\0trailer" for number in (1000, 200_000))
    assert [recognize(one, Limits()).fail_on for one in (few, many)] == ["error", "warning"]
    assert made(many).data == made(data).data


def test_frames_of_a_gif_that_are_removed_leave_transparency() -> None:
    data = plain_gif([(0, 0, 16, 16, 1), (4, 4, 4, 4, 2), (8, 8, 4, 4, 3)])
    first, second, third = (opened(made(data, f"frame={at}&fm=png").data) for at in (1, 2, 3))
    assert first(0, 0)[:3] == [0, 255, 0]
    assert (second(0, 0)[3], second(5, 5)[:3]) == (0, [0, 0, 255])
    assert (third(0, 0)[3], third(5, 5)[3], third(9, 9)[:3]) == (0, 0, [255, 255, 255])
    assert facts(data).alpha


APNG = saved([plain(color) for color in (RED, GREEN, BLUE)], "PNG", duration=[100, 200, 300], loop=3)


@pytest.mark.parametrize("query", ["", "fm=webp", "fm=gif", "w=20&fm=webp"])
def test_an_animated_png_stays_animated(query: str) -> None:
    assert (facts(APNG).format, facts(APNG).frames) == ("apng", 3)
    rendition = made(APNG, query)
    with Image.open(io.BytesIO(rendition.data)) as picture:
        frames = [(frame.convert("RGB").copy(), frame.info["duration"]) for frame in ImageSequence.Iterator(picture)]
    assert [duration for _, duration in frames] == [100, 200, 300]
    for (frame, _), color in zip(frames, (RED, GREEN, BLUE), strict=True):
        assert frame.size == (rendition.width, rendition.height)
        assert near(frame.resize((1, 1)).tobytes(), color)
    assert rendition.notes == ()


@pytest.mark.parametrize(("query", "color"), [("frame=2&fm=png", GREEN), ("frame=3", BLUE), ("animate=0", RED)])
def test_one_frame_of_an_animated_png(query: str, color: tuple[int, ...]) -> None:
    assert near(color_at(opened(made(APNG, query).data), 0.5, 0.5), color)


@pytest.mark.parametrize("original", ["apng", "gif"])
@pytest.mark.parametrize("output", ["png", "jpg", "avif"])
def test_an_animation_that_a_format_cannot_have_is_reported(original: str, output: str) -> None:
    data = APNG if original == "apng" else saved([plain(RED), plain(BLUE)], "GIF")
    assert made(data, f"fm={output}").notes == (f"animation: {output} has none, made of the first frame",)


def test_an_image_sequence_that_is_not_read_is_reported() -> None:
    data = saved([plain(RED), plain(BLUE)], "AVIF", speed=9)
    rendition = made(data, "fm=webp")
    assert near(color_at(opened(rendition.data), 0.5, 0.5), RED)
    assert "made of the first frame" in rendition.notes[0]
    assert made(saved([plain(RED)], "AVIF", speed=9), "fm=webp").notes == ()


DRAWN = plain(RED, (40, 30))
DRAWN.paste((*BLUE,), (0, 0, 20, 15))


@pytest.mark.parametrize(
    ("name", "kind"), [("bmp", "BMP"), ("jp2", "JPEG2000"), ("tga", "TGA"), ("ico", "ICO"), ("qoi", "QOI")]
)
def test_a_format_that_pillow_decodes_is_read_by_every_part(name: str, kind: str) -> None:
    data = saved([DRAWN], kind, **({"sizes": [(40, 30)]} if name == "ico" else {}))
    found, rendition = facts(data), made(data)
    assert (found.format, found.width, found.height) == (name, rendition.width, rendition.height)
    picture = opened(rendition.data)
    assert near(color_at(picture, 0.2, 0.2), BLUE)
    assert near(color_at(picture, 0.9, 0.9), RED)
    assert made(data, "w=20&fm=webp").width == 20
    with pytest.raises((UnreadableImage, UnsupportedImage)):
        made(data[: len(data) // 2])
    with pytest.raises(LimitExceeded, match="original_pixels"):
        made(data, limits=Limits(original_pixels=1000))


def psd(mode: int, planes: list[bytes], width: int, height: int) -> bytes:
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, len(planes), height, width, 8, mode)
    return head + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + b"".join(planes)


def test_a_photoshop_file_is_its_merged_picture() -> None:
    size = 20 * 10
    data = psd(3, [bytes([220]) * size, bytes([30]) * size, bytes([30]) * size], 20, 10)
    assert (facts(data).format, facts(data).width) == ("psd", 20)
    assert near(color_at(opened(made(data).data), 0.5, 0.5), RED)
    ink = psd(4, [bytes([255]) * size, bytes([0]) * size, bytes([0]) * size, bytes([255]) * size], 20, 10)
    red, green, blue = color_at(opened(made(ink).data), 0.5, 0.5)[:3]
    assert facts(ink).color_space == "cmyk"
    assert red > 200
    assert max(green, blue) < 80


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "RGB"])
def test_every_kind_of_bitmap_has_its_colors(mode: str) -> None:
    source = Image.new("RGBA" if mode == "RGBA" else "RGB", (9, 9), (255, 255, 255))
    data = saved([source.convert(mode)], "BMP")
    assert color_at(opened(made(data).data), 0.5, 0.5)[0] == 255


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("VipsJpeg: premature end of JPEG image", UnreadableImage),
        ("glib: XML parse error: Buffer size limit exceeded, try XML_PARSE_HUGE", LimitExceeded),
        ("vips_image: out of memory -- size == 3GB", LimitExceeded),
        ("heif: Unsupported feature: Unsupported codec (4.3000)", UnsupportedImage),
        ("tiff2vips: JPEG compression support is not configured", UnsupportedImage),
        ("Unsupported BMP compression (7)", UnsupportedImage),
        ("Invalid input: 'pitm' box references an unsupported or non-existing image", UnreadableImage),
        ("image file is truncated (3 bytes not processed)", UnreadableImage),
    ],
)
def test_a_decoders_message_is_damage_or_a_limit_or_a_feature(message: str, kind: type[Exception]) -> None:
    assert type(failure("any", message)) is kind


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_an_animated_png_that_states_more_frames_than_it_has_is_damaged() -> None:
    at = APNG.index(b"acTL") - 4
    data = APNG[:at] + chunk(b"acTL", struct.pack(">II", 9, 0)) + APNG[at + 20 :]
    with pytest.raises(UnreadableImage):
        made(data, "fm=webp")


def test_a_picture_that_no_part_reads_is_refused_by_all() -> None:
    text = encoded(noise(8, 8), "png")[4:]
    for read in (made, facts):
        with pytest.raises(UnsupportedImage):
            read(text)


def avif(mode: str, **options: object) -> bytes:
    source = Image.frombytes("RGB", (160, 120), noise(160, 120).write_to_memory())
    if mode == "RGBA":
        source.putalpha(Image.linear_gradient("L").resize(source.size))
    return saved([source.convert(mode)], "AVIF", speed=9, quality=90, **options)


TURNED = Image.Exif()
TURNED[274] = 6


@pytest.mark.parametrize(
    ("mode", "options", "fast"),
    [
        ("RGB", {"subsampling": "4:2:0"}, True),
        ("RGB", {"subsampling": "4:4:4", "range": "limited"}, True),
        ("RGB", {"subsampling": "4:2:2", "range": "limited"}, True),
        ("RGBA", {}, True),
        ("RGBA", {"alpha_premultiplied": True}, False),
        ("RGB", {"exif": TURNED}, False),
        ("L", {"subsampling": "4:0:0"}, False),
    ],
)
def test_an_avif_that_dav1d_decodes_is_that_of_libheif(
    mode: str, options: dict[str, object], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, calls = avif(mode, **options), list[bytes]()
    decode = pillow.open_avif

    def counted(found: bytes) -> pyvips.Image:
        calls.append(found)
        return decode(found)

    monkeypatch.setattr(pillow, "open_avif", counted)
    found = opened(made(data, "fm=png&profile=strip").data)
    assert (calls != []) == fast
    monkeypatch.setattr("imgserve.pipeline.load._is_plain_avif", lambda *_: False)
    expected = opened(made(data, "fm=png&profile=strip").data)
    assert (found.width, found.height, found.bands) == (expected.width, expected.height, expected.bands)
    difference = (found.cast("short") - expected.cast("short")).abs()
    assert difference.avg() < 1
    assert difference.max() <= 16


def test_a_damaged_avif_is_unreadable() -> None:
    data = avif("RGB")
    for part in (0.5, 0.95):
        with pytest.raises(UnreadableImage):
            made(data[: int(len(data) * part)])
