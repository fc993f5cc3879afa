"""Ultra HDR: the gain map follows its picture, and the reconstruction is the resized HDR picture."""

import functools
import math
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import pyvips

from imgserve.model import Limits, Rendition
from imgserve.pipeline.apple import gain_map_of
from imgserve.pipeline.load import recognize
from imgserve.pipeline.mezzanine import Decoded, draft_reduced
from imgserve.pipeline.order import EncoderSettings, Order
from imgserve.pipeline.probe import read_header
from imgserve.pipeline.render import finished, render
from imgserve.transform import parse_query
from tests.heif import iphone_heic
from tests.pictures import opened
from tests.worker import load_mezzanine, store_mezzanine

SIGN = b"urn:iso:std:iso:ts:21496:-1"


def scene(width: int, height: int) -> pyvips.Image:
    """Return an HDR picture: a colorful ramp up to white, with a light of four times white on the right."""
    at = pyvips.Image.xyz(width, height)
    across, down = at[0] / width, at[1] / height
    ramp = across.bandjoin([down, (across + down) / 2]) * 0.8 + 0.1
    light = (((across - 0.75) ** 2 + (down - 0.3) ** 2) * -60).exp() * 3 + 1
    return (ramp * light).cast("float").copy(interpretation="scrgb").copy_memory()


@functools.cache
def ultra_hdr(width: int = 480, height: int = 320) -> bytes:
    return bytes(scene(width, height).uhdrsave_buffer(Q=95))


def query(text: str, data: bytes | None = None) -> Rendition:
    return render(data or ultra_hdr(), parse_query(text).transform)


def hdr_of(data: bytes) -> pyvips.Image:
    return pyvips.Image.uhdrload_buffer(data).uhdr2scRGB()


def log_psnr(one: pyvips.Image, other: pyvips.Image) -> float:
    """Return PSNR over the stops between 1/64 and 4 times white."""
    logs = [image[:3].cast("float").copy(interpretation="multiband") for image in (one, other)]
    first, second = ((image > 1 / 64).ifthenelse(image, 1 / 64).log() / math.log(2) for image in logs)
    error = float(((first - second) ** 2).avg())
    return 10 * math.log10(8**2 / max(error, 1e-9))


def gain_map(data: bytes) -> pyvips.Image:
    return pyvips.Image.jpegload_buffer(pyvips.Image.uhdrload_buffer(data).get("gainmap-data"))


def scaled(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    return image.resize(width / image.width, vscale=height / image.height)


GEOMETRY: dict[str, Callable[[pyvips.Image], pyvips.Image]] = {
    "": lambda image: image,
    "w=240": lambda image: scaled(image, 240, 160),
    "w=157": lambda image: scaled(image, 157, 105),
    "w=960&enlarge=1": lambda image: scaled(image, 960, 640),
    "w=100&h=200": lambda image: scaled(image.crop(160, 0, 160, 320), 100, 200),
    "rect=300,20,150,150&w=120": lambda image: scaled(image.crop(300, 20, 150, 150), 120, 120),
    "rot=90&w=200": lambda image: scaled(image.rot90(), 200, 300),
    "flip=h": lambda image: image.fliphor(),
    "orient=6&flip=v&w=100": lambda image: scaled(image.rot90().flipver(), 100, 150),
    "w=200&h=200&crop=right": lambda image: scaled(image.crop(160, 0, 320, 320), 200, 200),
}


@pytest.mark.parametrize("text", GEOMETRY)
def test_the_reconstruction_is_the_hdr_picture_after_the_same_transform(text: str) -> None:
    made = query(f"{text}&q=95&chroma=444")
    expected = GEOMETRY[text](scene(480, 320))
    seen = hdr_of(made.data)
    assert (seen.width, seen.height) == (made.width, made.height) == (expected.width, expected.height)
    assert log_psnr(seen, expected) > 44, log_psnr(seen, expected)
    flat = opened(query(f"{text}&q=95&hdr=tonemap").data).colourspace("scrgb")
    assert log_psnr(flat, expected) < 30, "the gain map is needed"


def test_the_sdr_picture_is_the_one_without_a_gain_map() -> None:
    kept, dropped = (pyvips.Image.jpegload_buffer(query(f"w=240&hdr={how}").data) for how in ("preserve", "tonemap"))
    assert float((kept.cast("float") - dropped).abs().avg()) < 1.5


@pytest.mark.parametrize("metadata", ["copyright", "keep"])
def test_the_original_is_not_passed_through_with_a_gain_map_that_is_not_wanted(metadata: str) -> None:
    small = bytes(pyvips.Image.uhdrload_buffer(ultra_hdr()).jpegsave_buffer(Q=20))
    assert SIGN in small
    assert SIGN in query(f"metadata={metadata}", small).data
    assert SIGN not in query(f"metadata={metadata}&hdr=tonemap", small).data


def test_a_gain_map_has_half_the_sides_of_its_picture() -> None:
    assert [gain_map(query(text).data).width for text in ("w=480", "w=200", "w=960&enlarge=1")] == [240, 100, 240]


@pytest.mark.parametrize(
    "text",
    [
        "w=200&hdr=tonemap",
        "w=200&fm=webp",
        "w=200&fm=avif",
        "w=200&fm=png",
        "w=200&metadata=keep&hdr=tonemap",
        "w=200&text=Hi",
    ],
)
def test_other_pictures_have_no_gain_map(text: str) -> None:
    assert SIGN not in query(text).data
    assert opened(query(text).data).width == 200


@pytest.mark.parametrize(
    "text",
    [
        "w=200&h=200&fit=fill&bg=804020",
        "rot=20&bg=804020",
        "w=200&h=300&fit=fill&fill-color=102030",
        "w=200&pad=20&bg=804020",
        "w=200&border=20,804020",
        "w=200&mask=ellipse",
    ],
)
def test_what_surrounds_a_picture_is_not_brightened(text: str) -> None:
    made = query(f"{text}&q=95").data
    corner = pyvips.Image.jpegload_buffer(made).crop(0, 0, 4, 4).colourspace("scrgb")
    assert abs(float(hdr_of(made).crop(0, 0, 4, 4).avg()) - float(corner.avg())) < 0.02


@pytest.mark.parametrize(("interest", "pad"), [("entropy", 16), ("edges", 0)])
def test_the_gain_map_follows_a_crop_that_is_searched_in_the_pixels(interest: str, pad: int) -> None:
    made = query(f"w={200 + 2 * pad}&h={300 + 2 * pad}&crop={interest}&q=95&pad={pad}").data
    whole = scaled(scene(480, 320), 450, 300).copy_memory()
    shown = hdr_of(made).crop(pad, pad, 200, 300).copy_memory()
    rows = shown.crop(0, 0, 200, 20)
    left = max(range(251), key=lambda left: log_psnr(rows, whole.crop(left, 0, 200, 20)))
    assert log_psnr(shown, whole.crop(left, 0, 200, 300)) > 40


@functools.cache
def photograph_of_an_iphone(width: int, height: int) -> tuple[bytes, pyvips.Image]:
    """Return a HEIC with a headroom of 8, and the HDR picture that Apple's formula makes of it."""
    across = pyvips.Image.xyz(width, height)[0] / width
    picture = (across * 200 + 30).bandjoin([across * 100 + 60, across * 220]).cast("uchar").copy(interpretation="srgb")
    gains = (pyvips.Image.xyz(width // 2, height // 2)[0] * (400 / width)).cast("uchar")
    coded = across * 200 / 255
    gain = (coded < 0.081).ifthenelse(coded / 4.5, ((coded + 0.099) / 1.099) ** (1 / 0.45))
    expected = picture.colourspace("scrgb") * (gain * 7 + 1)
    return iphone_heic(picture, gains, (1.0, 0.0)), expected.copy(interpretation="scrgb").copy_memory()


@pytest.mark.parametrize("text", ["q=95&chroma=444", "w=120&q=95&chroma=444", "rot=90&q=95&chroma=444"])
def test_a_heic_of_an_iphone_becomes_the_hdr_picture_that_apple_describes(text: str) -> None:
    data, whole = photograph_of_an_iphone(320, 240)
    made = query(f"{text}&format=jpg", data)
    expected = scaled(whole, 120, 90) if "w=" in text else whole.rot90() if "rot" in text else whole
    assert log_psnr(hdr_of(made.data), expected) > 38
    flat = query(f"{text}&format=jpg&hdr=tonemap", data).data
    assert SIGN not in flat
    assert log_psnr(opened(flat).colourspace("scrgb"), expected) < 20


def test_the_gain_map_of_a_heic_comes_through_the_mezzanine(tmp_path: Path) -> None:
    original = recognize(photograph_of_an_iphone(1600, 1200)[0], Limits())
    decoded = Decoded(original, read_header(original, Limits()))
    store_mezzanine(tmp_path / "mezzanine", decoded.mezzanine())
    mezzanine = load_mezzanine(tmp_path / "mezzanine")
    order = Order(parse_query("w=320&q=95&chroma=444&format=jpg").transform)
    drafted = draft_reduced(mezzanine, order)
    assert drafted is not None
    expected = scaled(photograph_of_an_iphone(1600, 1200)[1], 320, 240)
    assert log_psnr(hdr_of(finished(drafted, EncoderSettings()).data), expected) > 38


@pytest.mark.parametrize(
    ("note", "headroom"),
    [((1.0, 0.0), 8.0), ((1.0, 0.01), 2**2.3), ((1.2, 1.0), 4.0), ((0.5, 0.0), 2**1.8), ((0.5, 1.0), 2**1.5)],
)
def test_the_headroom_of_a_heic_is_in_the_note_of_its_maker(note: tuple[float, float], headroom: float) -> None:
    picture = (pyvips.Image.black(64, 64, bands=3) + 100).cast("uchar").copy(interpretation="srgb")
    data = iphone_heic(picture, (pyvips.Image.black(64, 64) + 50).cast("uchar"), note)
    found = gain_map_of(data)
    assert found is not None
    assert found[1] == pytest.approx(headroom, rel=1e-3)


@pytest.mark.parametrize("text", ["w=400&q=95&chroma=444", "w=300&h=300&rot=90&q=95&chroma=444", "w=900&q=95"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_gain_map_comes_through_the_mezzanine(tmp_path: Path, text: str, orientation: int) -> None:
    image = pyvips.Image.uhdrload_buffer(ultra_hdr(1800, 1200)).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    data = bytes(image.uhdrsave_buffer(Q=95))
    original = recognize(data, Limits())
    decoded = Decoded(original, read_header(original, Limits()))
    order = Order(parse_query(text).transform)
    first = finished(decoded.draft(order), EncoderSettings())
    store_mezzanine(tmp_path / "mezzanine", decoded.mezzanine())
    mezzanine = load_mezzanine(tmp_path / "mezzanine")
    drafted = draft_reduced(mezzanine, order)
    assert drafted is not None
    direct = hdr_of(render(data, order.transform).data)
    for made in (first, finished(drafted, EncoderSettings())):
        assert log_psnr(hdr_of(made.data), direct) > 36
    plain = draft_reduced(mezzanine, Order(parse_query("w=400&hdr=tonemap").transform))
    assert plain is not None
    assert SIGN not in finished(plain, EncoderSettings()).data


def _zeroed(data: bytes, start: int) -> bytes:
    return data[: start + 200] + bytes(len(data) - start - 200)


def _cut_off(data: bytes, start: int) -> bytes:
    return data[: (start + len(data)) // 2]


def _enormous(data: bytes, start: int) -> bytes:
    at = data.index(b"\xff\xc0", start) + 5
    return data[:at] + struct.pack(">HH", 65_000, 65_000) + data[at + 4 :]


@pytest.mark.parametrize("harm", [_zeroed, _cut_off, _enormous])
def test_a_damaged_gain_map_costs_no_picture(harm: Callable[[bytes, int], bytes]) -> None:
    broken = harm(ultra_hdr(), ultra_hdr().rindex(b"\xff\xd8\xff"))
    picture = render(broken, parse_query("w=200&fm=jpg").transform)
    assert SIGN not in picture.data
    assert opened(picture.data).width == 200


XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:Container="http://ns.google.com/photos/1.0/container/"
 xmlns:Item="http://ns.google.com/photos/1.0/container/item/" hdrgm:Version="1.0" dc:format="image/jpeg">
<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap"
 Item:Length="1595"/></rdf:li></rdf:Seq></Container:Directory>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Sunset</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def with_xmp(xmp: bytes) -> bytes:
    segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    return ultra_hdr()[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + ultra_hdr()[2:]


@pytest.mark.parametrize("hdr", ["preserve", "tonemap"])
@pytest.mark.parametrize("output", ["jpg", "webp", "png"])
def test_kept_metadata_does_not_refer_to_a_gain_map_of_the_original(hdr: str, output: str) -> None:
    made = query(f"w=200&metadata=keep&hdr={hdr}&fm={output}", with_xmp(XMP)).data
    assert not any(word in made for word in (b"hdr-gain-map", b"hdrgm", b"GainMap", b"Container"))
    ultra = hdr == "preserve" and output == "jpg"
    assert (SIGN in made) is ultra
    if not ultra:  # libvips writes no XMP into an Ultra HDR JPEG
        xmp = opened(made).get("xmp-data")
        assert b"Sunset" in xmp
        assert b'dc:format="image/jpeg"' in xmp


def test_other_xmp_is_kept_as_it_is_and_broken_references_are_dropped() -> None:
    plain = XMP.replace(b"http://ns.adobe.com/hdr-gain-map/1.0/", b"urn:a").replace(b"http://ns.google.com/", b"urn:b")
    assert opened(query("w=200&metadata=keep&fm=webp", with_xmp(plain)).data).get("xmp-data") == plain
    broken = query("w=200&metadata=keep&fm=webp", with_xmp(XMP.replace(b"</rdf:RDF>", b""))).data
    assert b"hdrgm" not in broken
