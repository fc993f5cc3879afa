"""What is read of real files of every format; and that what rendering refuses is refused."""

import hashlib
import io
import struct
from dataclasses import replace
from typing import Any

import pillow_heif
import pytest
import pyvips
from PIL import Image

from imgserve.errors import LimitExceeded, TooLarge, UnreadableImage, UnsupportedImage
from imgserve.model import Facts, Limits
from imgserve.pipeline.color import primaries
from imgserve.pipeline.facts import facts_of
from imgserve.pipeline.load import recognize
from imgserve.pipeline.mezzanine import Decoded
from imgserve.pipeline.probe import read_header
from imgserve.pipeline.render import render
from imgserve.transform import Transform
from tests import bombs, embedded
from tests.embedded import ascii_value, exif, iptc, listed, photoshop, xmp
from tests.mutations import mutations, seeds
from tests.pictures import BLUE, GREEN, RED, animation, encoded, near, noise, quarters

STILL = ("jpg", "png", "webp", "tiff", "avif", "heic")
SEEDS = seeds()


def facts(data: bytes, *, limits: Limits | None = None, damaged: bool = False) -> Facts:
    return facts_of(data, "1_2", limits or Limits(), damaged=damaged)


@pytest.mark.parametrize("name", STILL)
def test_a_file_of_every_format_reports_its_facts(name: str) -> None:
    data = encoded(quarters(400, 300), name)
    read = facts(data)
    assert (read.version, read.format, read.size) == ("1_2", name, len(data))
    assert (read.width, read.height, read.frames) == (400, 300, 1)
    assert (read.color_space, read.alpha) == ("srgb", False)
    assert read.sha256 == hashlib.sha256(data).hexdigest()
    assert read.perceptual_hash is not None
    assert 15 <= len(read.thumbhash) <= 25
    assert any(near(tuple(bytes.fromhex(read.dominant_color[1:])), color) for color in (RED, GREEN, BLUE, (240,) * 3))


@pytest.mark.parametrize("name", STILL)
def test_facts_read_from_the_pixels_of_a_mezzanine_are_the_same(name: str) -> None:
    data = encoded(noise(60, 45).resize(40, kernel="cubic"), name)
    opened = recognize(data, Limits())
    alone = facts(data)
    together = facts_of(data, "1_2", Limits(), decoded=Decoded(opened, read_header(opened, Limits())))
    assert alone.perceptual_hash is not None
    assert together.perceptual_hash is not None
    assert (alone.perceptual_hash ^ together.perceptual_hash).bit_count() <= 2
    colors = [tuple(bytes.fromhex(one.dominant_color[1:])) for one in (alone, together)]
    assert near(colors[0], colors[1], 6)
    like: dict[str, Any] = {"perceptual_hash": None, "thumbhash": b"", "blurhash": "", "palette": ()}
    like["dominant_color"] = ""
    assert replace(alone, **like) == replace(together, **like)


def test_a_drawing_is_rasterized_for_its_facts() -> None:
    read = facts(bombs.svg('<rect width="60" height="100" fill="#dc1e1e"/>'))
    assert (read.format, read.width, read.height, read.alpha) == ("svg", 100, 100, True)
    assert near(tuple(bytes.fromhex(read.dominant_color[1:])), RED, 2)


@pytest.mark.parametrize("name", ["gif", "webp"])
def test_an_animation_reports_its_frames_and_shows_the_first(name: str) -> None:
    read = facts(animation([RED, GREEN, BLUE], name))
    assert (read.frames, read.width, read.height) == (3, 64, 64)
    assert near(tuple(bytes.fromhex(read.dominant_color[1:])), RED, 6)


def test_a_tiff_reports_its_pages() -> None:
    assert facts(bombs.tiff(7)).frames == 7


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tiff"])
def test_size_and_preview_are_of_the_upright_picture(name: str, orientation: int) -> None:
    image = quarters(80, 60).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    read = facts(encoded(image, name))
    assert (read.width, read.height) == ((80, 60) if orientation < 5 else (60, 80))
    assert bool(read.thumbhash[4] & 0x80) is (orientation < 5)


def with_alpha(alpha: pyvips.Image) -> pyvips.Image:
    return quarters(600, 400).bandjoin(alpha.cast("uchar")).copy(interpretation="srgb")


@pytest.mark.parametrize("name", ["png", "webp", "tiff"])
def test_alpha_is_reported_where_a_pixel_is_not_opaque(name: str) -> None:
    solid = pyvips.Image.black(600, 400) + 255
    assert not facts(encoded(with_alpha(solid), name)).alpha
    one = solid.cast("uchar").draw_rect(0, 300, 200, 1, 1, fill=True)
    lossless = {"lossless": True} if name == "webp" else {}
    assert facts(encoded(with_alpha(one), name, **lossless)).alpha


def test_alpha_of_sixteen_bits_is_reported() -> None:
    deep = with_alpha(pyvips.Image.black(600, 400) + 255).cast("ushort") * 257
    deep = deep.cast("ushort").copy(interpretation="rgb16")
    assert not facts(encoded(deep, "png")).alpha
    clear = deep.draw_rect([0, 0, 0, 0], 10, 10, 1, 1, fill=True)
    read = facts(encoded(clear, "png"))
    assert read.alpha
    assert read.color_space == "srgb"


def test_alpha_of_a_later_frame_is_reported() -> None:
    first = with_alpha(pyvips.Image.black(600, 400) + 255)
    roll = pyvips.Image.arrayjoin([first, with_alpha(pyvips.Image.black(600, 400))], across=1).copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", 400)
    assert facts(encoded(roll, "gif")).alpha
    assert not facts(encoded(first, "gif")).alpha


@pytest.mark.parametrize(
    ("interpretation", "profile", "name", "expected"),
    [
        ("srgb", None, "jpg", "srgb"),
        ("srgb", "srgb", "jpg", "srgb"),
        ("srgb", "p3", "jpg", "display-p3"),
        ("srgb", "p3", "png", "display-p3"),
        ("srgb", "p3", "webp", "display-p3"),
        ("srgb", "p3", "tiff", "display-p3"),
        ("b-w", None, "jpg", "gray"),
        ("grey16", None, "png", "gray"),
        ("cmyk", "cmyk", "jpg", "cmyk"),
        ("lab", None, "tiff", "lab"),
    ],
)
def test_the_color_space_is_reported(interpretation: str, profile: str | None, name: str, expected: str) -> None:
    options = {"profile": profile} if profile else {}
    image = quarters(80, 60)
    if interpretation == "cmyk":
        image = image.icc_transform("cmyk", input_profile="srgb")
    elif interpretation != "srgb":
        image = image.colourspace(interpretation)
    assert facts(encoded(image, name, **options)).color_space == expected


def profile(*colorants: float) -> bytes:
    """Make the head of a profile with the colorants of red, green and blue."""
    place, tags, values = 132 + 3 * 12, b"", b""
    for at, sign in enumerate((b"rXYZ", b"gXYZ", b"bXYZ")):
        tags += sign + struct.pack(">II", place + 20 * at, 20)
        values += b"XYZ \0\0\0\0" + struct.pack(
            ">3i", *(round(part * 65536) for part in colorants[3 * at : 3 * at + 3])
        )
    return bytes(128) + struct.pack(">I", 3) + tags + values


ADOBE = (0.60974, 0.31111, 0.01947, 0.20528, 0.62567, 0.06087, 0.14919, 0.06322, 0.74457)
REC2020 = (0.67346, 0.27903, -0.00193, 0.16566, 0.67535, 0.02998, 0.12510, 0.04561, 0.79686)
OWN = (0.5, 0.3, 0.1, 0.2, 0.6, 0.1, 0.2, 0.1, 0.6)


@pytest.mark.parametrize(("stated", "expected"), [(ADOBE, "adobe-rgb"), (REC2020, "rec2020"), (OWN, "")])
def test_a_profile_is_known_by_its_primaries(stated: tuple[float, ...], expected: str) -> None:
    assert primaries(profile(*stated)) == expected


@pytest.mark.parametrize("end", [0, 10, 130, 135, 150, 190])
def test_a_profile_cut_short_has_no_known_primaries(end: int) -> None:
    assert primaries(profile(*ADOBE)[:end]) == ""


XMP = xmp(listed("dc:title", "from XMP", kind="Alt") + listed("dc:subject", "sea", "boats"))
IPTC = photoshop(iptc((5, b"from IPTC"), (120, b"caption from IPTC")))
EXIF = exif(
    {embedded.IMAGE_DESCRIPTION: ascii_value("from EXIF"), embedded.ARTIST: ascii_value("Ann")},
    {embedded.TAKEN: ascii_value("2024:05:17 10:30:00")},
)


def told_file(name: str, **blocks: bytes) -> bytes:
    """Write a file with blocks of metadata."""
    if name == "heic":
        picture = Image.new("RGB", (64, 48), RED)
        buffer = io.BytesIO()
        made = pillow_heif.from_pillow(picture)
        made.info.update({kind: block for kind, block in blocks.items() if kind != "iptc"})
        made.save(buffer)
        return buffer.getvalue()
    image = quarters(64, 48).copy()
    for kind, block in blocks.items():
        image.set_type(pyvips.GValue.blob_type, f"{kind}-data", block)
    return encoded(image, name)


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tiff", "avif", "heic"])
def test_texts_are_read_from_a_file_of_every_format(name: str) -> None:
    read = facts(told_file(name, xmp=XMP))
    assert (read.title, read.keywords) == ("from XMP", ("sea", "boats"))


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "heic"])
def test_exif_is_read_from_a_file(name: str) -> None:
    read = facts(told_file(name, exif=EXIF))
    assert read.description == "from EXIF"
    assert read.metadata == {"creator": "Ann", "taken": "2024-05-17T10:30:00"}


def test_the_newer_block_is_believed_and_the_older_fill_what_it_lacks() -> None:
    read = facts(told_file("jpg", xmp=XMP, iptc=IPTC, exif=EXIF))
    assert (read.title, read.description) == ("from XMP", "caption from IPTC")
    assert read.metadata["creator"] == "Ann"
    assert facts(told_file("jpg", iptc=IPTC, exif=EXIF)).title == "from IPTC"


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tiff"])
def test_hostile_blocks_cost_nothing_but_their_texts(name: str) -> None:
    hostile = {
        "xmp": b"<!DOCTYPE a>" * 100,
        "iptc": b"\x1c\x02\x05\xff\xff" * 99,
        "exif": b"Exif\0\0II*\0\xff\xff\xff\x7f",
    }
    read = facts(told_file(name, **hostile))
    assert (read.title, read.description, read.keywords, dict(read.metadata)) == ("", "", (), {})


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tiff", "avif", "heic", "svg"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_a_file_cut_short_is_refused(name: str, part: float) -> None:
    with pytest.raises((UnreadableImage, UnsupportedImage)):
        facts(SEEDS[name][: int(len(SEEDS[name]) * part)])


def test_an_animation_that_is_damaged_behind_its_first_frame_is_refused() -> None:
    data = animation([RED, GREEN, BLUE], "webp")
    last = data.rindex(b"ANMF") + 40
    with pytest.raises(UnreadableImage):
        facts(data[:last] + b"\xff" * (len(data) - last))


def test_of_a_damaged_file_what_can_be_decoded_is_taken_where_that_is_requested() -> None:
    data = encoded(quarters(400, 300), "jpg")
    read = facts(data[: int(len(data) * 0.8)], damaged=True)
    assert (read.width, read.height) == (400, 300)


def outcome(work: object) -> str:
    """Return whether something succeeds, or by which error of ours it fails."""
    assert callable(work)
    try:
        work()
    except (UnreadableImage, UnsupportedImage, TooLarge) as error:
        return type(error).__name__
    return "ok"


@pytest.mark.parametrize("name", ["jpg", "png", "gif", "webp", "tiff", "avif", "heic"])
def test_a_damaged_file_is_refused_exactly_where_rendering_all_of_it_refuses(name: str) -> None:
    for data in mutations(SEEDS[name], 5):
        rendered = outcome(
            lambda data=data: render(data, Transform(format="webp" if name in {"gif", "webp"} else "png"))
        )
        assert outcome(lambda data=data: facts(data)) == rendered


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda: bombs.png(30_000, 30_000), "original_pixels"),
        (lambda: bombs.png(1, 1_000_000), "original_side"),
        (lambda: bombs.svg("", 1_000_000), "svg_side"),
        (lambda: bombs.svgz(1 << 28), "svg_bytes"),
    ],
)
def test_a_bomb_is_refused_by_its_limit(make: object, limit: str) -> None:
    assert callable(make)
    with pytest.raises(LimitExceeded, match=limit):
        facts(make())


def test_an_animation_over_the_limits_is_not_decoded_whole() -> None:
    data = bombs.gif(64, 600)
    assert facts(data).frames == 600
    assert facts(data[:-3], limits=replace(Limits(), frames=10)).frames >= 599


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 4000), (4000, 1), (129, 1), (2, 3)])
@pytest.mark.parametrize("name", ["png", "jpg", "webp"])
def test_a_picture_of_any_shape_has_facts(name: str, width: int, height: int) -> None:
    read = facts(encoded(quarters(max(2, width), max(2, height)).crop(0, 0, width, height), name))
    assert (read.width, read.height) == (width, height)
    assert read.thumbhash


@pytest.mark.parametrize("name", ["png", "svg"])
def test_a_thin_picture_has_facts(name: str) -> None:
    data = bombs.png(1, 30_000) if name == "png" else bombs.svg("").replace(b'height="100"', b'height="9000"')
    assert facts(data).height in {30_000, 9000}


def test_random_bytes_are_no_image() -> None:
    with pytest.raises(UnsupportedImage):
        facts(b"nothing of all this" * 100)
    with pytest.raises(UnreadableImage):
        facts(b"")
    with pytest.raises(TooLarge):
        facts(encoded(noise(80, 60), "png"), limits=Limits(original_bytes=100))
