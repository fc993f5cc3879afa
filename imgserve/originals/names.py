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
    rules = (
        (not all(parts), "it is empty, or begins or ends with a slash, or two slashes meet"),
        (any(part.startswith(".") for part in parts), "a part of it begins with a dot, which hides or climbs"),
        ("\\" in image_id, "it holds a backslash; folders are told apart by /"),
        (_holds_refused(image_id), "it holds a control character, or bytes that are not UTF-8"),
        (not unicodedata.is_normalized("NFC", image_id), "its characters are not composed (Unicode NFC)"),
        (_bytes(image_id) > ID_BYTES, f"it is longer than {ID_BYTES} bytes"),
        (len(parts) > DEPTH, f"it has more than {DEPTH} parts"),
        (max(map(_bytes, parts)) > PART_BYTES, f"a part of it is longer than {PART_BYTES} bytes"),
    )
    return next((sentence for broken, sentence in rules if broken), "")


def _holds_refused(text: str) -> bool:
    return any(unicodedata.category(character) in _REFUSED for character in text)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
