"""How values are written on the admin page: sizes, numbers, times, and the URLs of pictures."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from imgserve.access.sites import Sites
from imgserve.http.headers import api_path, quoted_id
from imgserve.transform.signing import signed_url
from imgserve.web.api.images import etag

_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_PERIODS = ((86_400 * 365, "year"), (86_400 * 30, "month"), (86_400, "day"), (3600, "hour"), (60, "minute"))


def size(number: float) -> str:
    """Return a number of bytes with a decimal unit and three digits, which stay on one line: `1.23 MB`."""
    unit = 0
    while number >= 999.5 and unit < len(_UNITS) - 1:  # noqa: PLR2004  the largest number that is written with three digits
        number, unit = number / 1000, unit + 1
    text = f"{number:.3g}" if unit else f"{number:.0f}"
    return f"{text}\N{NO-BREAK SPACE}{_UNITS[unit]}"


def count(number: float) -> str:
    """Return a whole number with spaces that do not break between groups of three digits."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def duration(seconds: float) -> str:
    """Return a length of time in its largest two units, or in milliseconds: `3 d 4 h`, `12 ms`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    parts = []
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        whole, seconds = divmod(seconds, length)
        parts += [f"{whole:.0f} {unit}"] if whole else []
    return " ".join(parts[:2])


def ago(moment: datetime | None) -> str:
    """Return how long ago a moment was, or how far it is ahead: `5 minutes ago`, `in 2 days`."""
    if moment is None:
        return "never"
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for length, unit in _PERIODS:
        number = int(abs(seconds) // length)
        if number:
            text = f"{number} {unit}{'s' if number > 1 else ''}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return "just now"


def written(value: object) -> str:
    """Return a JSON value in words: lists and objects with commas, and nothing as `none`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {written(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(written, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == "" else str(value)


FILTERS: Mapping[str, Callable[..., str]] = {
    "size": size,
    "count": count,
    "duration": duration,
    "ago": ago,
    "written": written,
    "id": quoted_id,
    "record": api_path,
    "etag": etag,
    "json": partial(json.dumps, ensure_ascii=False, indent=2),
}
"""Filters of the templates."""


@dataclass(frozen=True, slots=True)
class PictureUrls:
    """URLs of pictures that people who are signed in may see, whatever the rules of picture URLs are."""

    sites: Sites
    prefix: str
    """The path of all pictures."""

    def __call__(self, host: bytes, image_id: str, **parameters: Any) -> str:
        """Return the path of a rendition on a host: plain, signed, or else that of a conversion by the API."""
        query, path = urlencode(parameters), self.sites.path(host, image_id)
        rules = self.sites.find(b"", image_id)[0].rules
        address = None if path is None else f"{self.prefix}/{quoted_id(path)}?{query}"
        if address and rules.secrets:
            return signed_url(rules.secrets[0], address)
        if address and rules.require == "nothing" and rules.query == rules.free:
            return address
        shape = urlencode({name: value for name, value in parameters.items() if name not in {"auto", "format"}})
        return f"/api/convert/webp/{quoted_id(image_id)}?{shape}"
