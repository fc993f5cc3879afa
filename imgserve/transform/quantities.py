"""Quantities with units, such as sizes in bytes."""

import re
from collections.abc import Mapping
from decimal import Decimal

from imgserve.transform.kinds import Kind, ReadError

SIZES = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([a-z]*)", re.IGNORECASE | re.ASCII)
_LARGEST = 2**63 - 1
"""The largest number that file systems and `setrlimit` accept."""


def quantity(text: str, units: Mapping[str, Decimal]) -> Decimal:
    """Return a number times the factor of its unit in lower case, or raise ValueError."""
    found = _QUANTITY.fullmatch(text.strip().replace("_", ""))
    if not found:
        raise ValueError(text)
    number, unit = found.groups()
    factor = units.get(unit.lower()) if unit else Decimal(1)
    if factor is None:
        raise ValueError(text)
    return Decimal(number) * factor


def parse_size(text: str) -> int:
    """Return the bytes of `10GB`, `256MiB` or a plain number, or raise ValueError."""
    amount = quantity(text, {name.lower(): Decimal(factor) for name, factor in SIZES.items()})
    if amount != int(amount) or amount > _LARGEST:
        raise ValueError(text)
    return int(amount)


def _bytes(text: str) -> int:
    try:
        size = parse_size(text)
    except ValueError:
        raise ReadError from None
    if not size:
        raise ReadError
    return size


BYTES: Kind[int] = Kind("an integer of bytes, or a size such as 200KB", _bytes, str)
