"""Conditional requests by RFC 9110, section 13: entity tags, HTTP dates and their order of precedence.

Header values in, a verdict out; no request objects. The If-Range condition is in `ranges`.

Our entity tags have two parts, `"<key>-<checksum>"`: which picture, and which bytes were made of it. Two nodes may make
different bytes of one picture. A client that has either of them has the picture, so whether it has it is decided by the
first part alone, without bytes; parts of a picture are put together only where the whole tag is the same.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Literal

Verdict = Literal["proceed", "not_modified", "precondition_failed"]

_CONDITIONS = {
    name.encode(): name
    for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range")
}

# One list member: an entity tag, or anything else up to the next comma, which is passed over.
_MEMBER = re.compile(r'[ \t,]*+(?:(W/)?("[\x21\x23-\x7e\x80-\U0010ffff]*+")(?=[ \t]*+(?:,|\Z))|[^,]++)')

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
    """Pick the conditional and range fields out of raw ASGI headers, repeated lines joined."""
    found: dict[str, str] = {}
    for name, value in raw_headers:
        if key := _CONDITIONS.get(name):
            text = value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def entity_tag(key: str, crc32: int) -> str:
    """Write the strong entity tag of the bytes that were made of a picture."""
    return f'"{key}-{crc32:08x}"'


def evaluate(headers: Mapping[str, str], *, key: str, last_modified: int | None) -> Verdict:
    """Decide a GET or HEAD by its preconditions, in the order of RFC 9110, 13.2.2, as far as it goes without bytes.

    Names in `headers` are lower case; `key` is the first part of our entity tags; `last_modified` is in Unix seconds.
    What an If-Match lets pass is to be shown to `match_holds` once the bytes are there.
    """
    if not headers:
        return "proceed"
    if not _may_match(headers, key, last_modified):
        return "precondition_failed"
    return "proceed" if _none_match_holds(headers, key, last_modified) else "not_modified"


def match_holds(headers: Mapping[str, str], etag: str) -> bool:
    """Tell whether If-Match names exactly the bytes that would be sent; true where there is none."""
    match = headers.get("if-match")
    return match is None or match.strip() == "*" or any(strong_match(tag, etag) for tag in entity_tags(match))


def known_tag(headers: Mapping[str, str], key: str) -> str | None:
    """Give the entity tag under which a client has this picture, as it was sent.

    A 304 repeats it: a cache looks up by it what it may go on using (RFC 9111, 4.3.4).
    """
    return next((tag for tag in entity_tags(headers.get("if-none-match", "")) if _names(tag, key)), None)


def _names(tag: str, key: str) -> bool:
    """Tell whether an entity tag, strong or weak, is of this picture; earlier releases left the second part out."""
    return tag.removeprefix("W/")[1:-1].partition("-")[0] == key


def _may_match(headers: Mapping[str, str], key: str, last_modified: int | None) -> bool:
    match = headers.get("if-match")
    if match is not None:
        strong = (tag for tag in entity_tags(match) if not tag.startswith("W/"))
        return match.strip() == "*" or any(_names(tag, key) for tag in strong)
    since = parse_http_date(headers.get("if-unmodified-since"))
    return since is None or last_modified is None or last_modified <= since


def _none_match_holds(headers: Mapping[str, str], key: str, last_modified: int | None) -> bool:
    none_match = headers.get("if-none-match")
    if none_match is not None:  # then dates are not looked at, whatever they say (13.1.3)
        return none_match.strip() != "*" and known_tag(headers, key) is None
    since = parse_http_date(headers.get("if-modified-since"))
    return since is None or last_modified is None or last_modified > since


def entity_tags(value: str) -> list[str]:
    """List the well-formed entity tags of a field value, quotes and `W/` included."""
    return [(weak or "") + opaque for weak, opaque in _MEMBER.findall(value) if opaque]


def strong_match(one: str, other: str) -> bool:
    """Tell whether two entity tags are equal and both strong."""
    return one == other and not one.startswith("W/")


def parse_http_date(value: str | None, *, this_year: int | None = None) -> int | None:
    """Read any of the three HTTP date forms as Unix seconds; None if it is none of them."""
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


def last_modified_header(modified_ns: int, now: float) -> str:
    """Write a Last-Modified value, never later than the answer's Date (RFC 9110, 8.8.2.1)."""
    return formatdate(max(0, min(modified_ns // 1_000_000_000, int(now))), usegmt=True)
