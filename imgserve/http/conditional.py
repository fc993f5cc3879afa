"""Conditional requests (RFC 9110, section 13) and range requests (section 14)."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal

from imgserve.errors import RangeNotSatisfiable

Verdict = Literal["proceed", "not_modified", "precondition_failed"]
_CONDITIONS = {
    name.encode(): name
    for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range")
}
# One list member: an entity tag, or anything else up to the next comma, which is passed over.
_MEMBER = re.compile(r'[ \t,]*+(?:(W/)?("[\x21\x23-\x7e\x80-\U0010ffff]*+")(?=[ \t]*+(?:,|\Z))|[^,]++)')
_CRC32 = re.compile("[0-9a-f]{8}")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DATE_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) {_MONTH} (?P<day>[0-9 ][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
_TWO_DIGITS = 100
_FAR_FUTURE = 50  # years: a two-digit year further ahead means the last century (RFC 9110, 5.6.7)
_LEAP_SECOND = 60


def request_conditions(raw_headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the conditional and range fields of raw ASGI headers, with repeated fields joined."""
    found: dict[str, str] = {}
    for name, value in raw_headers:
        if key := _CONDITIONS.get(name):
            text = value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def entity_tag(key: str, crc32: int) -> str:
    """Return the strong entity tag of rendered bytes."""
    return f'"{key}-{crc32:08x}"'


def evaluate(headers: Mapping[str, str], *, key: str, last_modified: int | None) -> Verdict:
    """Return the verdict on the preconditions of a GET or HEAD (RFC 9110, 13.2.2), as far as possible without bytes.

    Names in `headers` are lower case; `key` is the first part of our entity tags; `last_modified` is in Unix seconds.
    A passing If-Match must be confirmed by `match_holds` once the bytes are known.
    """
    if not headers:
        return "proceed"
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is not None:
        strong = (tag for tag in entity_tags(match) if not tag.startswith("W/"))
        holds = match.strip() == "*" or any(_names(tag, key) for tag in strong)
    else:
        since = parse_http_date(headers.get("if-unmodified-since"))
        holds = since is None or last_modified is None or last_modified <= since
    if not holds:
        return "precondition_failed"
    if none_match is not None:  # then dates are not looked at, whatever they say (13.1.3)
        return "proceed" if none_match.strip() != "*" and known_tag(headers, key) is None else "not_modified"
    since = parse_http_date(headers.get("if-modified-since"))
    return "proceed" if since is None or last_modified is None or last_modified > since else "not_modified"


def match_holds(headers: Mapping[str, str], etag: str) -> bool:
    """Return whether If-Match names exactly the bytes to be sent; true without If-Match."""
    match = headers.get("if-match")
    return match is None or match.strip() == "*" or any(strong_match(tag, etag) for tag in entity_tags(match))


def known_tag(headers: Mapping[str, str], key: str) -> str | None:
    """Return the entity tag of this picture that the client sent, or None.

    A 304 repeats it: a cache looks up by it what it may go on using (RFC 9111, 4.3.4).
    """
    return next((tag for tag in entity_tags(headers.get("if-none-match", "")) if _names(tag, key)), None)


def tag_crc32(tag: str) -> int | None:
    """Return the checksum in one of our entity tags, or None."""
    digits = tag.rpartition("-")[2].removesuffix('"')
    return int(digits, 16) if _CRC32.fullmatch(digits) else None


def _names(tag: str, key: str) -> bool:
    """Return whether a strong or weak entity tag belongs to this picture; earlier releases omitted the second part."""
    return tag.removeprefix("W/")[1:-1].partition("-")[0] == key


def entity_tags(value: str) -> list[str]:
    """Return the well-formed entity tags of a field value, with quotes and `W/`."""
    return [(weak or "") + opaque for weak, opaque in _MEMBER.findall(value) if opaque]


def strong_match(one: str, other: str) -> bool:
    """Return whether two entity tags are equal and both strong."""
    return one == other and not one.startswith("W/")


def parse_http_date(value: str | None, *, this_year: int | None = None) -> int | None:
    """Return the Unix seconds of any of the three HTTP date forms, or None."""
    if value is None:
        return None
    matched = next(filter(None, (form.fullmatch(value.strip(" \t")) for form in _DATE_FORMS)), None)
    return None if matched is None else _timestamp(matched, this_year or datetime.now(UTC).year)


def _timestamp(matched: re.Match[str], this_year: int) -> int | None:
    day, year, hour, minute, second = (int(matched[name]) for name in ("day", "year", "hour", "minute", "second"))
    if len(matched["year"]) == len("94"):
        year += this_year - this_year % _TWO_DIGITS
        year -= _TWO_DIGITS if year > this_year + _FAR_FUTURE else 0
    leap = int(second == _LEAP_SECOND)
    try:
        moment = datetime(year, _MONTHS.index(matched["month"]) + 1, day, hour, minute, second - leap, tzinfo=UTC)
    except ValueError:  # the 31st of February
        return None
    return int(moment.timestamp()) + leap


# Up to 19 digits: beyond any file size, and int() refuses thousands of them.
_ONE_RANGE = re.compile(r"bytes=[ \t]*(?P<first>[0-9]{0,19})-(?P<last>[0-9]{0,19})[ \t]*", re.IGNORECASE)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first and last byte of a Range value, inclusive, or None for the whole representation.

    Several ranges are legal but a cheap way to overload a server; the whole is a valid response.
    """
    matched = _ONE_RANGE.fullmatch(header.strip(" \t")) if header else None
    if matched is None or not (matched["first"] or matched["last"]):
        return None
    if matched["first"]:
        first = int(matched["first"])
        last = int(matched["last"]) if matched["last"] else max(first, size - 1)
        if last < first:
            return None
    else:  # the last bytes; of nothing they are satisfiable by definition, but no Content-Range can describe them
        length = int(matched["last"])
        if length and not size:
            return None
        first, last = max(0, size - length), size - 1
    if first >= size:
        raise RangeNotSatisfiable(members={"size": size})
    return first, min(last, size - 1)


def range_applies(if_range: str | None, *, etag: str, last_modified: int | None) -> bool:
    """Return whether Range applies: without If-Range, or if it names exactly the current bytes (13.1.5)."""
    if if_range is None:
        return True
    validator = if_range.strip(" \t")
    if validator.startswith(('"', "W/")):
        return strong_match(validator, etag)
    moment = parse_http_date(validator)
    return moment is not None and moment == last_modified


def content_range(first: int, last: int, size: int) -> str:
    """Return the Content-Range value of a 206."""
    return f"bytes {first}-{last}/{size}"
