"""Range requests by RFC 9110, section 14: one range of bytes, anything else is answered with the whole picture."""

import re

from imgserve.errors import RangeNotSatisfiable
from imgserve.web.conditional import parse_http_date, strong_match

# Up to 19 digits: beyond any file size, and int() refuses thousands of them.
_ONE_RANGE = re.compile(r"bytes=[ \t]*(?P<first>[0-9]{0,19})-(?P<last>[0-9]{0,19})[ \t]*", re.IGNORECASE)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Read a Range value as first and last byte, inclusive; None means: send the whole.

    Several ranges are legal but a cheap way to make a server work: the whole is a valid answer to them.
    """
    matched = _ONE_RANGE.fullmatch(header.strip(" \t")) if header else None
    if matched is None or not (matched["first"] or matched["last"]):
        return None
    if not matched["first"]:
        return _suffix(int(matched["last"]), size)
    first = int(matched["first"])
    last = int(matched["last"]) if matched["last"] else max(first, size - 1)
    if last < first:
        return None
    if first >= size:
        raise _unsatisfiable(size)
    return first, min(last, size - 1)


def _suffix(length: int, size: int) -> tuple[int, int] | None:
    if length == 0:
        raise _unsatisfiable(size)
    if size == 0:  # satisfiable by definition, but there is no way to write its Content-Range
        return None
    return max(0, size - length), size - 1


def _unsatisfiable(size: int) -> RangeNotSatisfiable:
    return RangeNotSatisfiable(members={"size": size})


def range_applies(if_range: str | None, *, etag: str, last_modified: int | None) -> bool:
    """Tell whether Range counts: no If-Range, or one that names exactly what would be sent now (13.1.5)."""
    if if_range is None:
        return True
    validator = if_range.strip(" \t")
    if validator.startswith(('"', "W/")):
        return strong_match(validator, etag)
    moment = parse_http_date(validator)
    return moment is not None and moment == last_modified


def content_range(first: int, last: int, size: int) -> str:
    """Write the Content-Range value of a 206."""
    return f"bytes {first}-{last}/{size}"
