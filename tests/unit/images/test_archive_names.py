"""Names in an archive: like the images, safe wherever they are unpacked, each once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.images.archive import ArchiveNames


@pytest.mark.parametrize(
    ("image_id", "name"),
    [
        ("shoes/red.jpg", "shoes/red.webp"),
        ("red", "red.webp"),
        ("a.b/c.d.png", "a.b/c.d.webp"),
        ("/etc/passwd", "etc/passwd.webp"),
        ("../../up.jpg", "up.webp"),
        ("a/./b//c.jpg", "a/b/c.webp"),
        ("C:\\windows\\x.jpg", "C__windows_x.webp"),
        ("a\x00b\n.jpg", "a_b_.webp"),
        ("gpj\u202e.jpg", "gpj_.webp"),
        ("ä/日本.jpg", "ä/日本.webp"),
        ("not-\udcff-utf8.jpg", "not-_-utf8.webp"),
        ("nul.jpg", "_nul.webp"),
        ("..", "image.webp"),
        ("dots. /x.jpg", "dots/x.webp"),
    ],
)
def test_a_picture_is_called_like_its_image(image_id: str, name: str) -> None:
    assert ArchiveNames().name(image_id, "webp") == name


def test_pictures_of_one_name_are_numbered() -> None:
    names = ArchiveNames("errors.json")
    made = [names.name(image_id, "jpg") for image_id in ("a/x.png", "a/x.gif", "A/X.webp", "a/x.jpg")]
    assert made == ["a/x.jpg", "a/x (2).jpg", "A/X (3).jpg", "a/x (4).jpg"]
    assert names.name("errors.png", "json") == "errors (2).json"


def test_no_folder_is_called_like_a_file() -> None:
    names = ArchiveNames()
    assert names.name("a.png", "jpg") == "a.jpg"
    assert names.name("a.jpg/b.png", "jpg") == "a.jpg_/b.jpg"
    assert names.name("c.jpg/b.png", "jpg") == "c.jpg/b.jpg"
    assert names.name("c.png", "jpg") == "c (2).jpg"


@given(st.lists(st.text(alphabet="ab./\\ \x00:\udc80AÄ", min_size=1, max_size=9), max_size=30))
def test_whatever_the_ids_names_are_safe_and_differ(image_ids: list[str]) -> None:
    names = ArchiveNames()
    made = [names.name(image_id, "jpg") for image_id in image_ids]
    assert len({name.casefold() for name in made}) == len(made)
    for name in made:
        assert not name.startswith("/")
        assert not any(part in {"", ".", ".."} for part in name.split("/"))
        name.encode()
        assert "\\" not in name


def test_a_long_name_is_shortened_and_stays_unique() -> None:
    names = ArchiveNames()
    made = {names.name(f"{'x' * 300}{number}.jpg", "webp") for number in range(3)}
    assert len(made) == 3
    assert all(len(name) < 120 for name in made)
