import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.errors import BadRequest
from imgserve.http.multipart import FormReader, PartEnd, PartHead
from tests.forms import FORM, Part, form


def read(body: bytes, piece: int = 1 << 20, content_type: str = FORM) -> list[Part]:
    """Read a form in pieces and put its parts together."""
    reader, parts, data = FormReader(content_type), list[Part](), b""
    head = PartHead("", None)
    for start in range(0, len(body), piece):
        for event in reader.feed(body[start : start + piece]):
            if isinstance(event, PartHead):
                head, data = event, b""
            elif isinstance(event, PartEnd):
                parts.append((head.name, head.file_name, data))
            else:
                data += event
    reader.end()
    return parts


PARTS: list[Part] = [
    ("title", None, "Ein schöner Schuh".encode()),
    ("file", "shoe.jpg", bytes(range(256)) * 20),
    ("file", "Café au lait.png", b"\r\n--frontie\r\n--\r\n\r\n--fronti"),
    ("file", "empty.gif", b""),
    ("tags", None, b"a, b"),
]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 100, 1 << 20])
def test_parts_are_read_in_whatever_pieces_they_come(piece: int) -> None:
    assert read(form(PARTS), piece) == PARTS


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 400))
def test_whatever_is_written_is_read(bodies: list[bytes], piece: int) -> None:
    parts: list[Part] = [("file", f"{number}.jpg", data) for number, data in enumerate(bodies)]
    assert read(form(parts), piece) == parts


@given(st.integers(0, 100), st.binary(max_size=20), st.integers(1, 70))
def test_bytes_that_nearly_are_a_boundary_are_data(cut: int, data: bytes, piece: int) -> None:
    almost = (b"\r\n--frontier"[: cut % 12] + data.replace(b"r", b"")) * 3
    assert read(form([("file", "a", almost)]), piece) == [("file", "a", almost)]


@given(st.binary(max_size=400), st.integers(1, 400))
def test_anything_else_is_a_bad_request(body: bytes, piece: int) -> None:
    with contextlib.suppress(BadRequest):
        assert read(body, piece) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form at all",
        form(PARTS)[:-20],
        form(PARTS)[:100],
        b"--other\r\n\r\n",
        b"--frontier\r\nContent-Type: image/jpeg\r\n\r\nx\r\n--frontier--\r\n",
        b"--frontier\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--frontier--\r\n",
        b"--frontier\r\nContent-Disposition: form-data\r\n\r\nx\r\n--frontier--\r\n",
        b"--frontier\r\nContent Disposition: form-data; name=a\r\n\r\nx\r\n--frontier--\r\n",
        b"--frontier\r\n" + b"A: b\r\n" * 9 + b'Content-Disposition: form-data; name="a"\r\n\r\nx\r\n--frontier--\r\n',
        b'--frontier\r\nContent-Disposition: form-data; name="' + b"a" * 5000 + b'"\r\n\r\nx\r\n--frontier--\r\n',
        b"--frontier\r\n" + b"A" * 1_000_000,
    ],
)
def test_a_form_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="multipart/form-data: expected"):
        read(body)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"m/f; boundary={'b' * 71}",
    ],
)
def test_a_boundary_that_is_none_is_refused(content_type: str) -> None:
    with pytest.raises(BadRequest, match="boundary"):
        FormReader(content_type)


@pytest.mark.parametrize(
    ("header", "name", "file_name"),
    [
        ('form-data; name="f"; filename="a;b.jpg"', "f", "a;b.jpg"),
        ('form-data; name="f"; filename="a\\"b.jpg"', "f", 'a"b.jpg'),
        ('form-data; name="f"; filename="a%22b%20.jpg"', "f", 'a"b%20.jpg'),
        ("form-data; name=f; filename=plain.jpg", "f", "plain.jpg"),
        ('form-data; name="f"; filename="C:\\\\Users\\\\me\\\\photo.jpg"', "f", "photo.jpg"),
        ('form-data; name="f"; filename="../../etc/passwd"', "f", "../../etc/passwd"),
        ('form-data; name="f"; filename=""', "f", ""),
        ('form-data; name="f"; filename="a.jpg"; filename*=UTF-8\'\'evil.svg', "f", "a.jpg"),
        ('form-data; name="f"; filename="caf\u00e9.jpg"', "f", "café.jpg"),
    ],
)
def test_names_are_read_as_browsers_write_them(header: str, name: str, file_name: str) -> None:
    body = f"--frontier\r\ncontent-disposition: {header}\r\n\r\nx\r\n--frontier--\r\n".encode()
    assert read(body) == [(name, file_name, b"x")]


def test_a_name_that_is_not_utf8_is_read_too() -> None:
    body = (
        b'--frontier\r\nContent-Disposition: form-data; name="f"; filename="caf\xe9.jpg"\r\n\r\nx\r\n--frontier--\r\n'
    )
    assert read(body) == [("f", "caf\ufffd.jpg", b"x")]


def test_a_large_file_is_never_collected() -> None:
    reader = FormReader(FORM)
    head, tail = form([("file", "a", b"@")]).split(b"@")
    reader.feed(head)
    for _ in range(100):
        piece = os.urandom(65_536)
        held = sum(len(event) for event in reader.feed(piece) if isinstance(event, bytes))
        assert abs(held - len(piece)) <= len("\r\n--frontier--\r\n")
    reader.feed(tail)
    reader.end()
