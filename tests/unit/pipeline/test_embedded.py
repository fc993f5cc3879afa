"""Texts in metadata: what is read from each block, and that no bytes lead to anything worse than nothing."""

import unicodedata
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.model import TEXT_CHARACTERS
from imgserve.pipeline.embedded_text import (
    KEYWORDS,
    EmbeddedText,
    block,
    keywords,
    line,
    moment,
    read_iptc,
    read_xmp,
)
from imgserve.pipeline.exif import read_exif
from tests import embedded
from tests.embedded import ascii_value, exif, iptc, listed, photoshop, wide_value, xmp

FULL_XMP = xmp(
    '<dc:title><rdf:Alt><rdf:li xml:lang="de">Hafen</rdf:li><rdf:li xml:lang="x-default">Harbor</rdf:li></rdf:Alt>'
    "</dc:title>"
    + listed("dc:description", "At\n dawn &amp; dusk", kind="Alt")
    + listed("dc:subject", "sea", "boats", "sea")
    + listed("dc:creator", "Ann", "Bo", kind="Seq")
    + listed("dc:rights", "© Ann", kind="Alt")
    + "<exif:GPSLatitude>52,30N</exif:GPSLatitude>",
    'photoshop:Credit="The Agency" photoshop:DateCreated="2024-05-17T10:30:00+02:00"',
)
FULL_IPTC = iptc(
    (5, "Häfen".encode()), (120, b"At dawn"), (25, b"sea"), (25, b"boats"), (116, "© Ann".encode()),
    (80, b"Ann"), (110, b"The Agency"), (55, b"20240517"), (60, b"103000+0200"),
)  # fmt: skip


def test_every_text_of_xmp_is_read() -> None:
    assert read_xmp(FULL_XMP) == EmbeddedText(
        "Harbor", "At\n dawn & dusk", ("sea", "boats"), "© Ann", "Ann, Bo", "The Agency", "2024-05-17T10:30:00+02:00"
    )


@pytest.mark.parametrize("wrapped", [False, True])
def test_every_text_of_iptc_is_read(wrapped: bool) -> None:
    data = photoshop(FULL_IPTC) if wrapped else FULL_IPTC
    expected = ("Häfen", "At dawn", ("sea", "boats"), "© Ann", "Ann", "The Agency", "2024-05-17T10:30:00+02:00")
    assert astuple(read_iptc(data)) == expected


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_text_of_exif_is_read(order: str) -> None:
    main = {embedded.IMAGE_DESCRIPTION: ascii_value("At dawn"), embedded.ARTIST: ascii_value("Ann;Bo")}
    main |= {
        embedded.COPYRIGHT: (embedded.ASCII, b"Ann\0Bo\0"),
        embedded.XP_TITLE: wide_value("Häfen"),
    }
    main |= {embedded.XP_KEYWORDS: wide_value("sea; boats")}
    deeper = {embedded.TAKEN: ascii_value("2024:05:17 10:30:00"), embedded.OFFSET: ascii_value("+02:00")}
    read = read_exif(exif(main, deeper, order=order))
    expected = ("Häfen", "At dawn", ("sea", "boats"), "Ann, Bo", "Ann, Bo", "", "2024-05-17T10:30:00+02:00")
    assert astuple(read) == expected


def test_position_and_serial_numbers_are_never_taken() -> None:
    gps = {
        1: (embedded.ASCII, b"N\0"),
        2: (embedded.RATIONAL, bytes(24)),
        29: ascii_value("2024:05:17 secret"),
    }
    data = exif({embedded.MAKE: ascii_value("secret maker")}, {embedded.SERIAL: ascii_value("secret 4711")}, gps)
    assert read_exif(data) == EmbeddedText()
    place = '<exif:GPSLatitude>52,30N</exif:GPSLatitude><aux:SerialNumber xmlns:aux="a">4711</aux:SerialNumber>'
    assert read_xmp(xmp(place)) == EmbeddedText()
    assert read_iptc(iptc((90, b"Berlin"), (92, b"Street"))) == EmbeddedText()


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        (b"ASCII\0\0\0At dawn\0\0\0", "At dawn"),
        (b"UNICODE\0" + "Häfen".encode("utf-16-le"), "Häfen"),
        (bytes(8) + b"At dawn", "At dawn"),
        (b"JIS\0\0\0\0\0$O", ""),
        (b"ASCII\0\0\0" + b"\0" * 40, ""),
        (b"ASC", ""),
    ],
)
def test_a_comment_is_read_by_its_prefix(comment: bytes, expected: str) -> None:
    assert read_exif(exif({}, {embedded.USER_COMMENT: (embedded.UNDEFINED, comment)})).description == expected


def test_what_cameras_write_into_every_description_is_none() -> None:
    main = {embedded.IMAGE_DESCRIPTION: ascii_value("OLYMPUS DIGITAL CAMERA         ")}
    assert read_exif(exif(main)).description == ""
    assert read_exif(exif(main | {embedded.XP_COMMENT: wide_value("meant")})).description == "meant"


@pytest.mark.parametrize(("utf8", "encoding"), [(True, "utf-8"), (False, "utf-8"), (False, "latin-1")])
def test_iptc_is_read_in_its_encoding_said_or_not(utf8: bool, encoding: str) -> None:
    assert read_iptc(iptc((5, "Größe".encode(encoding)), utf8=utf8)).title == "Größe"


def test_a_long_data_set_of_iptc_is_read() -> None:
    caption = b"a" * 1000
    data = b"\x1c\x02\x78\x80\x04" + len(caption).to_bytes(4, "big") + caption + iptc((5, b"title"))
    assert (read_iptc(data).description, read_iptc(data).title) == (caption.decode(), "title")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-17", "2024-05-17"),
        ("2024-05-17T10:30:00.123Z", "2024-05-17T10:30:00+00:00"),
        ("2024-05-17T10:30", "2024-05-17T10:30:00"),
        ("0000-00-00T00:00:00", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_a_time_is_iso_8601_or_nothing(text: str, expected: str) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"<a",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + FULL_XMP,
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        FULL_XMP[: len(FULL_XMP) // 2],
        FULL_XMP + b" " * (1 << 20),
    ],
)
def test_a_packet_that_is_no_xmp_or_too_long_reveals_nothing(packet: bytes) -> None:
    assert read_xmp(packet) == EmbeddedText()


def test_deeply_nested_xmp_does_no_harm() -> None:
    assert read_xmp(xmp("<dc:title>" * 20_000 + "</dc:title>" * 20_000)).title == ""


def test_texts_are_bounded_and_without_control_characters() -> None:
    assert line(" a\0b\x1b[31m\n c\u202e \ud800d ") == "ab[31m c d"
    assert block("one\r\ntwo\rthree\tfour\x07") == "one\ntwo\nthree four"
    assert len(block("a" * 100_000)) == TEXT_CHARACTERS
    assert len(keywords(str(number) for number in range(1000))) == KEYWORDS
    assert keywords(["", " a ", "a", "b" * 1000]) == ("a", "b" * 200)


def is_sound(read: EmbeddedText) -> bool:
    """Return whether texts are what a record may hold."""
    texts = [read.title, read.description, read.copyright, read.creator, read.credit, read.taken, *read.keywords]
    kept = all(unicodedata.category(each) not in {"Cc", "Cs"} or each == "\n" for text in texts for each in text)
    return kept and all(len(text) <= TEXT_CHARACTERS for text in texts) and len(read.keywords) <= KEYWORDS


BYTES = st.binary(max_size=400)


@given(BYTES)
def test_any_bytes_are_read_by_every_reader(data: bytes) -> None:
    for read in (read_xmp, read_iptc, read_exif):
        assert is_sound(read(data))


@given(BYTES, st.sampled_from([b"Exif\0\0II*\0", b"MM\0*", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_any_bytes_behind_a_header_of_exif_are_read(data: bytes, head: bytes) -> None:
    assert is_sound(read_exif(head + data))


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255), BYTES), max_size=20), BYTES, st.booleans())
def test_any_data_sets_of_iptc_are_read(sets: list[tuple[int, int, bytes]], rest: bytes, wrapped: bool) -> None:
    data = iptc(*((number, value) for _, number, value in sets)) + rest
    assert is_sound(read_iptc(photoshop(data) if wrapped else data))


@given(BYTES)
def test_any_resources_of_photoshop_are_read(data: bytes) -> None:
    assert is_sound(read_iptc(b"Photoshop 3.0\x008BIM" + data))
    assert is_sound(read_iptc(b"8BIM\x04\x04\x00\x00" + data))


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_of_exif_is_read(first: str, second: str) -> None:
    main = {embedded.IMAGE_DESCRIPTION: ascii_value(first.replace("\ud800", ""), "utf-16-le")}
    main |= {embedded.XP_TITLE: (embedded.BYTE, second.encode("utf-16-le", "surrogatepass"))}
    assert is_sound(read_exif(exif(main)))


SEEDS = (
    FULL_XMP,
    photoshop(FULL_IPTC),
    exif({embedded.IMAGE_DESCRIPTION: ascii_value("text")}, {embedded.TAKEN: ascii_value("x" * 9)}),
)


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8), st.floats(0, 1))
def test_damaged_blocks_are_read(seed: bytes, damages: list[tuple[float, int]], end: float) -> None:
    data = bytearray(seed)
    for place, value in damages:
        data[int(place * (len(data) - 1))] = value
    for read in (read_xmp, read_iptc, read_exif):
        assert is_sound(read(bytes(data[: int(end * len(data))])))
        assert is_sound(read(bytes(data)))
