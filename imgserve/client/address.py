"""Addresses: the base URL of a server, percent-encoded image ids, and every path of the API that the client calls."""

import re
from urllib.parse import quote

# An absolute URL, one with the scheme of the page, or a path on the page's own host, each without a slash at the end.
_BASE = re.compile(r"((https?:)?//[^/?#\\\s\"'<>,]+)?(/[^/?#\\\s\"'<>,]+)*", re.IGNORECASE)
_NOT_A_SEGMENT = frozenset({"", ".", ".."})
_BEFORE_ACTION = re.compile(r"/(?=(?:purge|similar|transform|convert)(?:/|$))")
_PATH_NAME = re.compile(r"[A-Za-z0-9_-]+")

IMAGES = "/api/images"
DUPLICATES = "/api/duplicates"
TAGS = "/api/tags"
TRASH = "/api/trash"
PROBLEMS = "/api/problems"
STATS = "/api/stats"
CACHE = "/api/cache"
PURGE = "/api/purge"
WARM = "/api/warm"
TRANSFORM = "/api/transform"
BULK_DELETE = "/api/bulk/delete"
BULK_TAG = "/api/bulk/tag"
BULK_PURGE = "/api/bulk/purge"


def checked_base(base: str) -> str:
    """Return the URL of a server's pictures without a slash at the end.

    Raises:
        ValueError: it is not such a URL; for example, it has a query.
    """
    plain = base.rstrip("/")
    if not _BASE.fullmatch(plain):
        raise ValueError(f"base: expected an address such as https://img.example.com/img, but received {base!r}")
    return plain


def encoded_id(image_id: str) -> str:
    """Return an image id percent-encoded; surrogate escapes become the bytes that they represent.

    Raises:
        ValueError: browsers would change the path, or the id cannot be encoded.
    """
    if not _NOT_A_SEGMENT.isdisjoint(image_id.split("/")):
        raise ValueError(f'image id: expected a path without empty, "." and ".." parts, but received {image_id!r}')
    return quoted_id(image_id)


def quoted_id(image_id: str) -> str:
    """Return the id of an existing image percent-encoded."""
    return quote(image_id.encode("utf-8", "surrogateescape"))


def api_path(image_id: str) -> str:
    """Return the path of a record in the API.

    Before a segment such as `purge`, the slash is escaped: otherwise a record that does not exist would be redirected
    to the action.

    Raises:
        ValueError: as `encoded_id`.
    """
    return f"{IMAGES}/{_BEFORE_ACTION.sub('%2F', encoded_id(image_id))}"


def action_path(action: str, image_id: str) -> str:
    """Return the path of an action on one image: `purge`, `similar`, `transform` or `convert/{extension}`.

    Raises:
        ValueError: as `encoded_id`.
    """
    return f"/api/{action}/{encoded_id(image_id)}"


def trash_path(item: str) -> str:
    """Return the path of an item of the trash."""
    return f"{TRASH}/{quote(item, safe='')}"


def fits_path(preset: str) -> bool:
    """Return whether a preset's name can be the last segment of a path."""
    return _PATH_NAME.fullmatch(preset) is not None
