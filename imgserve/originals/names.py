"""Image ids as names of files: which may lead to one, and which a new one may have. Nothing here looks at a disk."""

import unicodedata

from imgserve.errors import BadImageId

PART_BYTES = 255
"""What one name takes in every common file system."""
ID_BYTES = 1000
"""An id stands in addresses, some of which end at 2000 characters, with each byte as %XX or not."""
DEPTH = 64
"""Parts of an id. Folders deeper than that are a mistake of whoever makes the names."""

_REFUSED = {"Cc", "Cs", "Zl", "Zp"}
"""Control characters, halves of surrogate pairs (bytes that are not UTF-8), separators of lines and paragraphs."""


def parts_of(image_id: str) -> tuple[str, ...] | None:
    """Split an id into the names of folders and file; None for what is no name below a folder, or hidden."""
    parts = tuple(image_id.split("/"))
    if "\0" in image_id or any(not part or part.startswith(".") for part in parts):
        return None
    return parts


def new_id(text: str) -> str:
    """Compose the characters of a name (Unicode NFC), so that names that look alike are alike, and check it.

    Raises:
        BadImageId: no new image may have this name.
    """
    image_id = unicodedata.normalize("NFC", text)
    check_id(image_id)
    return image_id


def check_id(image_id: str) -> None:
    """Refuse a name for a new image; files that lie there already may have odder ones.

    Raises:
        BadImageId: with what was expected.
    """
    if mistake := _mistake(image_id):
        raise BadImageId(f"No image can have this id: {mistake}.")


def _mistake(image_id: str) -> str:
    parts = image_id.split("/")
    if not all(parts):
        return "it is empty, or begins or ends with a slash, or two slashes meet"
    if any(part.startswith(".") for part in parts):
        return "a part of it begins with a dot, which makes a file hidden or leads out of its folder"
    if "\\" in image_id:
        return "it holds a backslash; folders are told apart by /"
    if any(unicodedata.category(character) in _REFUSED for character in image_id):
        return "it holds a control character, or bytes that are not UTF-8"
    if unicodedata.normalize("NFC", image_id) != image_id:
        return "its characters are not composed (Unicode NFC), so that it looks like another one"
    if len(parts) > DEPTH or len(image_id.encode()) > ID_BYTES:
        return f"it is longer than {ID_BYTES} bytes or {DEPTH} parts"
    if max(len(part.encode()) for part in parts) > PART_BYTES:
        return f"a part of it is longer than {PART_BYTES} bytes"
    return ""
