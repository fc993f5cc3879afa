"""How image ids are stored: as their bytes, which hold any file name and sort and begin alike in every database."""

MOST_BYTES = 2000
"""PostgreSQL keeps at most 2704 bytes in a row of an index."""


def stored_id(image_id: str) -> bytes | None:
    """Write an image id as bytes; None for one that can be no file name, or is too long to be recorded."""
    try:
        stored = image_id.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None
    return stored if len(stored) <= MOST_BYTES else None


def recordable(image_id: str) -> bool:
    """Tell whether an image with this id can be recorded at all."""
    return stored_id(image_id) is not None


def image_id_of(stored: bytes) -> str:
    """Read a stored image id."""
    return bytes(stored).decode("utf-8", "surrogateescape")


def after_prefix(prefix: bytes) -> bytes | None:
    """Name the end of the range of ids that begin with these bytes; None where it has no end."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None
