"""Formats by their first bytes and by their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.formats import BY_EXTENSION, FORMATS, HEAD_BYTES, default_output, sniff
from tests.pictures import encoded, quarters

AVIF_BRAND_LAST = b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif"


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "gif", "tiff", "avif", "heic"])
def test_a_real_file_is_recognized(name: str) -> None:
    assert sniff(encoded(quarters(40, 30), name)[:HEAD_BYTES]) is FORMATS[name]


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"GIF87a", "gif"),
        (b"MM\0*", "tiff"),
        (b"II+\0", "tiff"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0hevcmsf1", "heic"),
        (b"\0\0\0\x18ftypavis\0\0\0\0msf1avis", "avif"),
        (AVIF_BRAND_LAST, "avif"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
        (b"\xef\xbb\xbf <?xml version='1.0'?><!-- a drawing --><svg/>", "svg"),
        (b"<!DOCTYPE svg PUBLIC ''>\n<svg>", "svg"),
        (b"\x1f\x8b\x08\0", "svg"),
        ("<?xml version='1.0' encoding='utf-16'?>\n<svg/>".encode("utf-16"), "svg"),
        ("<!-- <html> --><s:svg xmlns:s=''/>".encode("utf-16-be"), "svg"),
        (b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a '" + b"x" * HEAD_BYTES, "svg"),
        (b"\xff\x4f\xff\x51\0\x2f", "jp2"),
        (b"8BPS\0\1\0\0", "psd"),
        (b"%PDF-1.7", "pdf"),
        (b"\xff\x0a\xfa", "jxl"),
        (b"II*\0\x10\0\0\0CR\2\0", "raw"),
        (b"FUJIFILMCCD-RAW 0201", "raw"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raw"),
        (b"\0\0\1\0\1\0\x10\x10\0\0\1\0", "ico"),
        (b"\x05\0\x0a\0\0\0\0\0\0\0\0\0\x20\0\x10\0\x20\x28hello", "tga"),
    ],
)
def test_a_rarer_beginning_is_recognized(head: bytes, name: str) -> None:
    assert sniff(head) is FORMATS[name]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GIF",
        b"BM",
        b"%PDX-1.7",
        b"\xff\xd8",
        b"RIFF\0\0\0\0WAVE",
        b"RIFF",
        b"\0\0\0\x18ftypmp42\0\0\0\0isommp42",
        b"\0\0\0\x18ftyp",
        b"\0\0\0\x10ftypmif1\0\0\0\0avif",
        b"<html><body>",
        b"<!DOCTYPE html><html><body><svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<?xml version='1.0'?><rss><!-- <svg> --></rss>",
        b"8BPS\0\2\0\0",
        b"BM" + b"\0" * 30,
        b"\0\0\1\0\1\0\x10\x10\0\1\1\0",
        b"\0\0\2\0\0\0\0\0\0\0\0\0\0\0\x10\0\x20\x28",
        b"no <svg> at the beginning",
        b"1 2 3\n4 5 6\n",
        b"\0" * 64,
    ],
)
def test_anything_else_is_not(head: bytes) -> None:
    assert sniff(head) is None


@given(st.binary(max_size=64))
def test_any_bytes_are_a_known_format_or_none(head: bytes) -> None:
    assert sniff(head) in {None, *FORMATS.values()}


@given(st.binary(max_size=40))
def test_a_brand_list_of_any_length_is_read(tail: bytes) -> None:
    assert sniff(b"\xff\xff\xff\xffftyp" + tail) in {None, FORMATS["avif"], FORMATS["heic"]}


def test_every_format_knows_itself() -> None:
    assert all(name == item.name for name, item in FORMATS.items())
    assert all(BY_EXTENSION[extension] is item for item in FORMATS.values() for extension in item.extensions)
    assert len(BY_EXTENSION) == sum(len(item.extensions) for item in FORMATS.values())


def test_what_every_browser_shows_can_be_written() -> None:
    assert all(item.writable for item in FORMATS.values() if item.web_safe)


@pytest.mark.parametrize("name", FORMATS)
def test_a_fallback_can_be_shown_anywhere_and_keeps_alpha_where_it_matters(name: str) -> None:
    fallback = FORMATS[FORMATS[name].fallback]
    assert fallback.name in {"jpg", "png", "gif", "apng"}
    assert fallback.writable


@pytest.mark.parametrize(
    ("original", "output"),
    [("jpg", "jpg"), ("png", "png"), ("webp", "webp"), ("heic", "jpg"), ("tiff", "jpg"), ("svg", "png")],
)
def test_the_output_nobody_named_is_the_original_or_what_stands_in_for_it(original: str, output: str) -> None:
    assert default_output(FORMATS[original]).name == output
