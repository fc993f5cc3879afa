"""JPEG XL, camera RAW and PDF with their extras, and the answer without them."""

import dataclasses

import pylibjxl
import pytest
import pyvips

from imgserve import formats
from imgserve.errors import BadTransform, LimitExceeded, UnreadableImage, UnsupportedImage
from imgserve.formats import FORMATS, HEAD_BYTES, identify
from imgserve.model import Facts, Limits, Rendition
from imgserve.pipeline.facts import facts_of
from imgserve.pipeline.render import render
from imgserve.transform import Transform, normalize, parse_query
from tests.originals import dng, pdf
from tests.pictures import BLUE, RED, color_at, near, noise, opened, quarters


def made(data: bytes, query: str = "fm=png", limits: Limits | None = None) -> Rendition:
    return render(data, parse_query(query).transform, limits=limits)


def facts(data: bytes) -> Facts:
    return facts_of(data, "1_1", Limits())


def jxl(image: pyvips.Image) -> bytes:
    return bytes(pylibjxl.encode(image.numpy(), effort=3, distance=1.0))


DOCUMENT = pdf([(72, 144, RED), (144, 72, BLUE)])
EXTRAS = {"jxl": jxl(quarters(80, 60)), "raw": dng(), "pdf": DOCUMENT}


@pytest.mark.parametrize("name", EXTRAS)
def test_an_original_is_read_by_every_part_alike(name: str) -> None:
    found, rendition = facts(EXTRAS[name]), made(EXTRAS[name])
    assert (found.format, found.width, found.height) == (name, rendition.width, rendition.height)
    red, green, blue = color_at(opened(rendition.data), 0.1, 0.1)[:3]
    assert red > 1.5 * max(green, blue)
    assert made(EXTRAS[name], "w=20&fm=webp").width == 20
    with pytest.raises(LimitExceeded, match="original_pixels"):
        made(EXTRAS[name], limits=Limits(original_pixels=1000))


@pytest.mark.parametrize("name", EXTRAS)
def test_a_damaged_original_is_unreadable(name: str) -> None:
    for read in (made, facts):
        with pytest.raises(UnreadableImage):
            read(EXTRAS[name][:200])


@pytest.mark.parametrize("name", EXTRAS)
def test_without_the_extra_the_answer_names_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = dataclasses.replace(FORMATS[name], module="imgserve_has_no_such_module")
    monkeypatch.setitem(formats.FORMATS, name, absent)
    for read in (made, facts, lambda data: identify(data[:HEAD_BYTES])):
        with pytest.raises(UnsupportedImage, match=rf"imgserve\[{name}\]"):
            read(EXTRAS[name])


def test_a_rendition_as_jpeg_xl_needs_the_extra() -> None:
    absent = dataclasses.replace(FORMATS["jxl"], module="imgserve_has_no_such_module")
    with pytest.raises(BadTransform, match=r"imgserve\[jxl\]"):
        normalize(Transform(), FORMATS["jpg"], absent)


@pytest.mark.parametrize("query", ["fm=jxl", "fm=jxl&q=40", "fm=jxl&lossless=1"])
def test_a_picture_becomes_jpeg_xl_and_back(query: str) -> None:
    source = quarters(80, 60)
    rendition = made(bytes(source.pngsave_buffer()), query)
    assert (rendition.media_type, rendition.width) == ("image/jxl", 80)
    back = opened(made(rendition.data).data)
    assert near(color_at(back, 0.1, 0.1), RED, 1 if "lossless" in query else 16)


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_gray_and_alpha_become_jpeg_xl(bands: int) -> None:
    image = quarters(80, 60).colourspace("b-w") if bands < 3 else quarters(80, 60)
    image = image if bands == 1 else image.bandjoin(128)
    back = opened(made(made(bytes(image.pngsave_buffer()), "fm=jxl").data).data)
    assert back.hasalpha() == (bands != 1)


def test_quality_of_jpeg_xl_decides_its_size() -> None:
    data = bytes(noise(320, 240).pngsave_buffer())
    low, middle, high, best = (len(made(data, f"fm=jxl&q={q}").data) for q in (20, 50, 90, 100))
    assert low < middle < high <= best
    assert all(len(made(data, f"fm=jxl&q={q}").data) < len(made(data, f"fm=jpg&q={q}").data) for q in (50, 80, 90))


def test_a_page_of_a_document_has_its_own_size() -> None:
    first, second = made(DOCUMENT, "page=1&fm=png"), made(DOCUMENT, "page=2&fm=png")
    assert (first.width, first.height, second.width, second.height) == (150, 300, 300, 150)
    assert near(color_at(opened(second.data), 0.5, 0.5), BLUE)
    assert facts(DOCUMENT).frames == 2
    with pytest.raises(BadTransform, match=r"page: expected 1\.\.2"):
        made(DOCUMENT, "page=3")


def test_a_camera_raw_is_recognized_before_tiff_and_upright() -> None:
    turned = dng(orientation=6)
    assert identify(turned[:HEAD_BYTES]).name == "raw"
    assert (facts(turned).width, facts(turned).height) == (48, 64)
    rendition = made(turned)
    picture = opened(rendition.data)
    assert (picture.width, picture.height) == (rendition.width, rendition.height) == (48, 64)
