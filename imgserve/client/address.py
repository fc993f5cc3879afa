"""The paths of pictures and records: where a server is, and image ids percent-encoded as it decodes them."""

import re
from urllib.parse import quote

# An absolute address, one that takes the scheme of the page, or a path on the page's own host, each without its end.
_BASE = re.compile(r"((https?:)?//[^/?#\\\s\"'<>,]+)?(/[^/?#\\\s\"'<>,]+)*", re.IGNORECASE)
_NO_SEGMENT = frozenset({"", ".", ".."})
_BEFORE_ACTION = re.compile(r"/(?=(?:purge|similar|transform|convert)(?:/|$))")
_PATH_NAME = re.compile(r"[A-Za-z0-9_-]+")


def checked_base(base: str) -> str:
    """Give the address of a server's pictures without a slash at the end.

    Raises:
        ValueError: it is none, such as one with a query.
    """
    plain = base.rstrip("/")
    if not _BASE.fullmatch(plain):
        raise ValueError(f"base: expected an address such as https://img.example.com/img, but received {base!r}")
    return plain


def encoded_id(image_id: str) -> str:
    """Percent-encode an image id; surrogate escapes are the bytes that they stand for.

    Raises:
        ValueError: browsers would take it for the path of something else, or it is no text.
    """
    if not _NO_SEGMENT.isdisjoint(image_id.split("/")):
        raise ValueError(f'image id: expected a path without empty, "." and ".." parts, but received {image_id!r}')
    return quoted_id(image_id)


def quoted_id(image_id: str) -> str:
    """Percent-encode the image id of something that is there."""
    return quote(image_id.encode("utf-8", "surrogateescape"))


def api_path(image_id: str, action: str = "") -> str:
    """Return the path of a record in the API, or of an action such as `purge` on the image.

    Raises:
        ValueError: as `encoded_id`.
    """
    encoded = encoded_id(image_id)
    if action:
        return f"/api/{action}/{encoded}"
    # A record's path that ends like an action is redirected if there is no such record; with %2F it never is.
    return "/api/images/" + _BEFORE_ACTION.sub("%2F", encoded)


def fits_path(preset: str) -> bool:
    """Tell whether a preset's name can be the last part of a path."""
    return _PATH_NAME.fullmatch(preset) is not None
