"""Split a query into its steps, and those into pairs of names and values."""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from imgserve.errors import BadTransform

MAX_BYTES = 8192
MAX_PAIRS = 100
THEN = b"then"
"""Separates the steps of a chain in a query."""
_SEPARATOR = re.compile(r"(?:^|(?<=&))then=?(?=&|$)", re.IGNORECASE)
_SIGNATURE = re.compile(rb"[0-9a-fA-F]{32}|[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Pair:
    """One name with its value, percent-decoded."""

    name: str
    value: bytes


def split(raw: bytes | str) -> list[Pair]:
    """Return the pairs of an `application/x-www-form-urlencoded` query; raise BadTransform if it is too long."""
    return [read_pair(part) for part in split_parts(raw)]


def split_parts(raw: bytes | str) -> list[bytes]:
    """Return the pairs of a query as they are written; raise BadTransform if it is too long."""
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    if len(data) > MAX_BYTES:
        raise BadTransform([f"query: expected at most {MAX_BYTES} bytes, but received {len(data)}"])
    parts = [part for part in data.split(b"&") if part]
    if len(parts) > MAX_PAIRS:
        raise BadTransform([f"query: expected at most {MAX_PAIRS} parameters, but received {len(parts)}"])
    return parts


def split_chain(query: str) -> list[str]:
    """Return the steps of a chain as queries, or the query itself."""
    return [step.strip("&") for step in _SEPARATOR.split(query)]


def decoded(part: bytes) -> tuple[bytes, bytes]:
    """Return name and value of one part of a query, percent-decoded."""
    name, _, value = part.replace(b"+", b" ").partition(b"=")
    return unquote_to_bytes(name), unquote_to_bytes(value)


def read_pair(part: bytes) -> Pair:
    """Return one part of a query as a pair."""
    name, value = decoded(part)
    return Pair(name.decode("utf-8", "backslashreplace").lower(), value)


def is_signature(pair: Pair) -> bool:
    """Return whether a pair is a signature, valid or not; the form of its value decides for `s`."""
    return pair.name == "signature" or (pair.name == "s" and _SIGNATURE.fullmatch(pair.value) is not None)
