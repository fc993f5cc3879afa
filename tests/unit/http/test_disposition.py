import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.http.headers import content_disposition, file_name_for


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("shoe.jpg", 'inline; filename="shoe.jpg"'),
        ("my shoe.jpg", 'inline; filename="my shoe.jpg"'),
        ("größe.jpg", "inline; filename=\"gro_e.jpg\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.jpg"),
        ("日本.png", "inline; filename=\"__.png\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.png"),
        ('a"b.jpg', "inline; filename=\"a_b.jpg\"; filename*=UTF-8''a%22b.jpg"),
        ("100%.jpg", "inline; filename=\"100_.jpg\"; filename*=UTF-8''100%25.jpg"),
        ("../../etc/passwd", 'inline; filename="passwd"'),
        ("..\\..\\evil.exe", 'inline; filename="evil.exe"'),
        ("a\r\nSet-Cookie: x.jpg", 'inline; filename="aSet-Cookie: x.jpg"'),
        ("photo\u202egpj.exe", 'inline; filename="photogpj.exe"'),
        ("a\udcff.jpg", 'inline; filename="a.jpg"'),
        ("", 'inline; filename="image"'),
        ("..", 'inline; filename="image"'),
        ("/", 'inline; filename="image"'),
        (".htaccess", 'inline; filename="htaccess"'),
        ("x" * 500 + ".jpeg", f'inline; filename="{"x" * 120}.jpeg"'),
    ],
)
def test_a_file_name_is_made_safe_for_every_client(filename: str, expected: str) -> None:
    assert content_disposition("inline", filename) == expected


def test_a_download_is_an_attachment() -> None:
    assert content_disposition("attachment", "a.png").startswith("attachment; ")


@given(st.text())
def test_any_name_gives_one_printable_ascii_line(filename: str) -> None:
    header = content_disposition("attachment", filename)
    assert re.fullmatch(r"attachment; filename=\"[^\"\\%]+\"(; filename\*=UTF-8''[!-~]+)?", header)
    assert header.isascii()
    assert header.isprintable()


@pytest.mark.parametrize(
    ("image_id", "expected"),
    [
        ("products/shoe.jpg", "shoe.webp"),
        ("shoe", "shoe.webp"),
        ("a/b.c/archive.tar.gz", "archive.tar.webp"),
        ("a/", "a.webp"),
        ("", "image.webp"),
        (".hidden", ".hidden.webp"),
        ("a/\udcff.jpg", "\udcff.webp"),
    ],
)
def test_a_rendition_is_named_after_its_original(image_id: str, expected: str) -> None:
    assert file_name_for(image_id, "webp") == expected
