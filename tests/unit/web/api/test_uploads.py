import pytest

from imgserve.client import ImageUrls
from imgserve.errors import BadImageId
from imgserve.originals.writable import check_id
from imgserve.web.api.upload_body import file_id
from imgserve.web.api.uploads import examples


@pytest.mark.parametrize(
    ("folder", "name", "image_id"),
    [
        ("products", "shoe.jpg", "products/shoe.jpg"),
        ("products/", "shoe.jpg", "products/shoe.jpg"),
        ("/products/2026/", "shoe.jpg", "products/2026/shoe.jpg"),
        ("", "shoe.jpg", "shoe.jpg"),
        ("/", "shoe.jpg", "shoe.jpg"),
        ("p", "../../etc/passwd", "p/passwd"),
        ("p", "C:\\Users\\me\\Bild 1.png", "p/Bild 1.png"),
        ("p", ".hidden.jpg", "p/hidden.jpg"),
        ("p", "...jpg", "p/jpg"),
        ("p", " 50% [off] #1 'é'.jpg ", "p/50% [off] #1 'é'.jpg"),
        ("p", "cafe\u0301.jpg", "p/caf\u00e9.jpg"),
        ("cafe\u0301", "a.jpg", "caf\u00e9/a.jpg"),
        ("p", "a\nb\0c\ud800.jpg", "p/abc.jpg"),
        ("p", "noextension", "p/noextension"),
        ("p", "é" * 200 + ".jpeg", "p/" + "é" * 125 + ".jpeg"),
        ("p", "a." + "b" * 300, "p/a." + "b" * 253),
    ],
)
def test_a_file_gets_its_id_from_folder_and_name(folder: str, name: str, image_id: str) -> None:
    assert file_id(folder, name) == image_id
    check_id(image_id)


@pytest.mark.parametrize("name", ["", "/", "a/", "..", ".", "...", "\n", "  "])
def test_a_file_without_a_name_gets_no_id(name: str) -> None:
    with pytest.raises(BadImageId):
        file_id("p", name)


@pytest.mark.parametrize("folder", ["../up", "a/../b", ".hidden", "a//b", "a\\b", "a\nb"])
def test_a_folder_that_is_none_is_left_to_the_originals_to_refuse(folder: str) -> None:
    with pytest.raises(BadImageId):
        check_id(file_id(folder, "a.jpg"))


def test_examples_are_addresses_of_this_image() -> None:
    found = examples("/img/a%20b/%C3%BC.jpg", 1000)
    assert found["default"] == "/img/a%20b/%C3%BC.jpg"
    assert found["width_400"] == "/img/a%20b/%C3%BC.jpg?auto=format&width=400"
    assert "fit=crop&height=200&width=200" in found["square_200"]
    assert found["srcset"].endswith("width=1000 1000w")


@pytest.mark.parametrize(
    ("width", "height"),
    [(1000, 500), (1000, 65000), (3, 60000), (319, 9), (320, 9), (321, 9), (1920, 1), (1921, 1), (20000, 100), (0, 0)],
)
def test_examples_are_those_of_the_url_builder(width: int, height: int) -> None:
    urls, image_id = ImageUrls("/img"), "a b/ü.jpg"
    widths = (320, 640, 960, 1280, 1920)
    assert examples("/img/a%20b/%C3%BC.jpg", width) == {
        "default": urls.url(image_id),
        "width_400": urls.url(image_id, width=400, auto="format"),
        "square_200": urls.url(image_id, width=200, height=200, fit="crop", auto="format"),
        "srcset": urls.srcset(
            image_id, widths=widths, auto="format", original_width=width or None, original_height=height or None
        ),
    }
