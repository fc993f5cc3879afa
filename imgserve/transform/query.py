"""A raw query split into names and values: form decoding, base64 values, bounds. No parameter is known here."""

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from imgserve.errors import BadTransform
from imgserve.transform.values import ReadError

MAX_BYTES = 8192
MAX_PAIRS = 100

_BASE64 = re.compile(rb"[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Pair:
    """One name with its value, percent-decoded."""

    name: str
    value: bytes


def _decode(part: bytes) -> bytes:
    return unquote_to_bytes(part.replace(b"+", b" "))


def _value_pair(part: bytes) -> Pair:
    name, _, value = part.partition(b"=")
    return Pair(_decode(name).decode("utf-8", "backslashreplace").lower(), _decode(value))


def split(raw: bytes | str) -> list[Pair]:
    """Split a query as `application/x-www-form-urlencoded`; refuses one that is too long to be meant."""
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    if len(data) > MAX_BYTES:
        raise BadTransform([f"query: expected at most {MAX_BYTES} bytes, but received {len(data)}"])
    parts = [part for part in data.split(b"&") if part]
    if len(parts) > MAX_PAIRS:
        raise BadTransform([f"query: expected at most {MAX_PAIRS} parameters, but received {len(parts)}"])
    return [_value_pair(part) for part in parts]


def as_text(value: bytes) -> str:
    """Read a value as UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ReadError(", which is not UTF-8") from None


def from_base64(value: bytes) -> bytes:
    """Read unpadded URL-safe base64."""
    digits = value.rstrip(b"=")
    if not _BASE64.fullmatch(digits):
        raise ReadError(", which is not URL-safe base64")
    try:
        return base64.urlsafe_b64decode(digits + b"=" * (-len(digits) % 4))
    except binascii.Error:
        raise ReadError(", which is not URL-safe base64") from None
