"""What an uploaded file is called: image ids from the names that clients give, and addresses to try. Pure."""

import unicodedata

from imgserve.client import ImageUrls
from imgserve.errors import BadImageId

_PART_BYTES = 255
_WIDTHS = (320, 640, 960, 1280, 1920)


def file_id(folder: str, file_name: str) -> str:
    """Make an image id of a folder and the last part of a client's file name; whether it may be one is checked later.

    Raises:
        BadImageId: nothing is left of the name.
    """
    last = file_name.replace("\\", "/").rpartition("/")[2]
    composed = unicodedata.normalize("NFC", last)
    plain = "".join(
        character for character in composed if unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
    )
    name = _shortened(plain.strip().lstrip("."))
    if not name:
        raise BadImageId("expected a file name, since the id is made of the folder and the name of the file")
    place = unicodedata.normalize("NFC", folder).strip("/")
    return f"{place}/{name}" if place else name


def _shortened(name: str) -> str:
    """Cut a long name, not its extension."""
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > 16:  # noqa: PLR2004  no extension of an image is that long
        stem, dot, extension = name, "", ""
    room = _PART_BYTES - len(f"{dot}{extension}".encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + dot + extension


def examples(urls: ImageUrls, image_id: str, width: int, height: int) -> dict[str, str]:
    """Write addresses that show what can be asked for; width and height are those of the upright original."""
    extent = (width, height) if width and height else (None, None)
    return {
        "default": urls.url(image_id),
        "width_400": urls.url(image_id, width=400, auto="format"),
        "square_200": urls.url(image_id, width=200, height=200, fit="crop", auto="format"),
        "srcset": urls.srcset(
            image_id, widths=_WIDTHS, original_width=extent[0], original_height=extent[1], auto="format"
        ),
    }
