"""The original's own coded data where encoding the same pixels would take more bytes."""

import io
import random

import pytest
import pyvips
from PIL import Image, ImageDraw, PngImagePlugin

from imgserve.model import Rendition
from imgserve.pipeline.passthrough import clean_gif, clean_jpeg, clean_png, clean_webp
from imgserve.pipeline.render import render
from imgserve.transform import parse_query

SECRET = b"Secret place"


def photo(width: int = 160, height: int = 120) -> Image.Image:
    """Draw something that costs an encoder of a higher quality far more bytes."""
    noise = Image.frombytes("RGB", (width, height), random.Random(3).randbytes(width * height * 3))
    return noise.resize((width * 2, height * 2), Image.Resampling.BICUBIC).crop((0, 0, width, height))


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def with_private_data(form: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x013B], exif[0x8298] = SECRET.decode(), "Ann", "(c) Ann"
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", SECRET.decode())
    comment = {"comment": SECRET} if form in {"JPEG", "GIF"} else {"pnginfo": texts} if form == "PNG" else {}
    xmp = {"xmp": b"<x>" + SECRET + b"</x>"} if form in {"JPEG", "WEBP"} else {}
    return saved(photo(), form, exif=exif, **comment, **xmp, **options)


ORIGINALS = {
    "jpg": lambda: with_private_data("JPEG", quality=20) + SECRET,
    "progressive": lambda: with_private_data("JPEG", quality=20, progressive=True) + SECRET,
    "webp": lambda: with_private_data("WEBP", quality=5) + SECRET,
    "gif": lambda: saved(photo().quantize(16), "GIF", comment=SECRET) + SECRET,
}


def made(data: bytes, query: str = "") -> Rendition:
    return render(data, parse_query(query).transform)


@pytest.mark.parametrize("kind", ORIGINALS)
@pytest.mark.parametrize("query", ["", "w=160", "w=500", "w=160&h=120", "q=100"])
def test_the_same_pixels_never_take_more_bytes_than_the_original(kind: str, query: str) -> None:
    data = ORIGINALS[kind]()
    rendition = made(data, query if kind != "gif" else query.replace("q=100", ""))
    assert len(rendition.data) < len(data)
    assert SECRET not in rendition.data
    original = pyvips.Image.new_from_buffer(data, "")
    same = pyvips.Image.new_from_buffer(rendition.data, "")
    assert abs(same.numpy()[:, :, :3].astype(int) - original.numpy()[:, :, :3]).max() <= (2 if kind == "gif" else 0)
    if kind != "gif":
        fields = {name for name in same.get_fields() if name.startswith("exif-ifd0")}
        assert {"exif-ifd0-Artist", "exif-ifd0-Copyright"} <= fields
        assert same.get("exif-ifd0-Copyright").startswith("(c) Ann ")
        assert "exif-ifd0-Make" not in fields


def test_without_metadata_nothing_of_it_stays_and_with_all_everything() -> None:
    data = ORIGINALS["jpg"]()
    assert b"Exif" not in made(data, "metadata=strip").data
    assert made(data, "metadata=keep").data == data


@pytest.mark.parametrize("query", ["w=159", "rot=90", "flip=h", "rect=0,0,100,100", "w=160&h=100", "fm=webp", "q=5"])
def test_other_pixels_and_smaller_results_are_encoded(query: str) -> None:
    data = ORIGINALS["jpg"]()
    plain = made(data)
    assert made(data, query).data[-400:] != plain.data[-400:]


def test_an_original_that_has_to_be_turned_or_converted_is_encoded() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(photo(), "JPEG", quality=20, exif=exif)
    cmyk = saved(photo().convert("CMYK"), "JPEG", quality=20)
    for data in (turned, cmyk):
        rendition = made(data)
        assert clean_jpeg(data, b"", False) != rendition.data
        assert pyvips.Image.new_from_buffer(rendition.data, "").interpretation == "srgb"


def test_an_animation_stays_one_and_one_frame_is_encoded() -> None:
    frames = [photo().quantize(8), photo().rotate(90).quantize(8)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=70, loop=3, comment=SECRET)
    kept = made(data).data
    assert SECRET not in kept
    image = pyvips.Image.new_from_buffer(kept, "", n=-1)
    assert (image.get("n-pages"), image.get("delay"), image.get("loop")) == (
        2,
        [70, 70],
        pyvips.Image.new_from_buffer(data, "").get("loop"),
    )
    assert pyvips.Image.new_from_buffer(made(data, "frame=2").data, "", n=-1).height == 120


def test_a_png_keeps_its_pixels_only() -> None:
    data = with_private_data("PNG")
    cleaned = clean_png(data + SECRET, b"", False)
    assert cleaned is not None
    assert SECRET not in cleaned
    assert (pyvips.Image.new_from_buffer(cleaned, "").numpy() == pyvips.Image.new_from_buffer(data, "").numpy()).all()
    gamma = data.replace(b"\0\0\0\x0dIHDR", b"\0\0\0\x0dIHDR", 1)
    at = gamma.index(b"IDAT") - 4
    assert clean_png(gamma[:at] + b"\0\0\0\4gAMA\0\0\0\1" + bytes(4) + gamma[at:], b"", False) is None


@pytest.mark.parametrize(
    ("clean", "form"), [(clean_jpeg, "JPEG"), (clean_png, "PNG"), (clean_webp, "WEBP"), (clean_gif, "GIF")]
)
def test_a_cut_off_file_is_not_passed_through(clean: type, form: str) -> None:
    data = saved(photo(), form)
    for end in (len(data) - 3, len(data) // 2, 40):
        try:
            assert clean(data[:end], b"", False) is None
        except (ValueError, IndexError):
            continue


def drawing() -> bytes:
    """Draw 569 pixels of width in 16 colors."""
    chance = random.Random(1)
    image = Image.new("P", (569, 400))
    image.putpalette([chance.randrange(256) for _ in range(48)])
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = chance.randrange(569), chance.randrange(400)
        draw.ellipse([x, y, x + 80, y + 60], fill=chance.randrange(16))
    return saved(image, "PNG", bits=4, optimize=True)


def scan() -> bytes:
    """Write a page of text in one bit."""
    chance = random.Random(1)
    image = Image.new("1", (1240, 1754), 1)
    draw = ImageDraw.Draw(image)
    for y in range(40, 1700, 14):
        draw.text((60, y), " ".join(f"word{chance.randrange(9999)}" for _ in range(22)), fill=0)
    return saved(image, "PNG", optimize=True)


@pytest.mark.parametrize(("original", "query"), [(drawing, "w=568"), (scan, "w=1239"), (drawing, ""), (scan, "")])
def test_an_indexed_png_stays_small(original: type, query: str) -> None:
    data = original()
    rendition = made(data, query)
    assert len(rendition.data) <= 1.5 * len(data)
    decoded = pyvips.Image.new_from_buffer(rendition.data, "")
    reference = pyvips.Image.new_from_buffer(data, "").colourspace("srgb")
    reference = reference.resize(decoded.width / reference.width, vscale=decoded.height / reference.height)
    difference = (decoded.colourspace("srgb").cast("short") - reference.cast("short")).abs().avg()
    assert difference < (30 if original is scan else 3)


def test_a_small_rendition_of_an_indexed_png_has_all_the_colors_that_it_needs() -> None:
    decoded = pyvips.Image.new_from_buffer(made(scan(), "w=200").data, "")
    assert len(set(decoded.colourspace("b-w")[0].numpy().ravel().tolist())) > 16


def test_the_colors_of_a_gif_follow_its_quality() -> None:
    data, counts = saved(photo(), "PNG"), []
    for quality in (1, 8, 64, 100, 200, 256):
        image = Image.open(io.BytesIO(made(data, f"format=gif&q={quality}").data)).convert("RGB")
        colors = len(image.getcolors(maxcolors=1 << 16) or ())
        assert colors <= max(2, quality)
        counts.append(colors)
    assert counts == sorted(counts)
    assert counts[-1] > 128
