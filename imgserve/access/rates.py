"""Rate limits as text, what they count, and whose requests are counted together."""

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(rf"([1-9]\d{{0,8}}) ?(?:/|per) ?([1-9]\d{{0,2}})? ?({'|'.join(_SECONDS)})s?", re.ASCII)
EXPECTED = "limits such as 600/minute, 1000 per 5 minutes, or several as in 20/second; 5000/day"
_IPV6_CLIENT_BITS = 64
"""A home or a server receives at least a network of this size, and may use every address in it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of events in any period: of the previous one, the part that is less than a period ago counts too."""

    amount: int
    seconds: int
    period: str
    """The period in words: minute, 5 minutes."""

    def wait(self, previous: int, current: int, left: float, cost: int) -> float | None:
        """Return the seconds until `cost` more events fit, infinity for never, or None if they fit now.

        `previous` are the events in the previous period, which are taken to be spread evenly, `current` those in the
        current period, which ends in `left` seconds.
        """
        free = self.amount - cost
        if free < 0:
            return float("inf")
        if int(previous * left / self.seconds) + current <= free:
            return None
        if current <= free:
            return left - (free - current + 1) * self.seconds / previous
        return left + max(0.0, self.seconds - (free + 1) * self.seconds / current)


@lru_cache(maxsize=1024)
def parse_rates(text: str) -> tuple[Rate, ...]:
    """Return the rates of a text such as `20/second; 600/minute`, the shortest period first; none for an empty text.

    Raises ValueError if the text is no list of rates; the message states what is.
    """
    return tuple(sorted(map(_parse, text.split(";")), key=lambda rate: rate.seconds)) if text.strip() else ()


def _parse(text: str) -> Rate:
    if not (found := _RATE.fullmatch(" ".join(text.lower().split()))):
        raise ValueError(f"expected {EXPECTED}")
    amount, many, unit = found.groups()
    return Rate(int(amount), int(many or 1) * _SECONDS[unit], f"{many} {unit}s" if many and many != "1" else unit)


class Kind(Enum):
    """What a rate limits: the name of its counters, and the sentence that an exceeded limit is explained with."""

    NEW_PER_CLIENT = ("new renditions per client", "This client may request", "new rendition")
    NEW_PER_IMAGE = ("new renditions per image", "Of this image, clients may request", "new rendition")
    UPLOADS = ("uploads", "This client may upload", "image")
    LOGINS_PER_ADDRESS = ("logins per address", "This client may try", "login")
    LOGINS_PER_ACCOUNT = ("logins per account", "For this account, clients may try", "login")
    API = ("api", "This client may send", "API request")

    def __init__(self, label: str, start: str, event: str) -> None:
        self.label = label
        self._start = start
        self._event = event

    def sentence(self, rate: Rate) -> str:
        """Return a limit as a sentence, such as: This client may request 600 new renditions per minute."""
        events = self._event if rate.amount == 1 else f"{self._event}s"
        return f"{self._start} {rate.amount} {events} per {rate.period}."


@lru_cache(maxsize=4096)
def client_subject(address: str, key_id: str | None = None) -> str:
    """Return whom the requests of a client are counted for: its key, else its address, else everyone without one.

    An IPv6 address counts as its /64 network, because a client may use every address of that.
    """
    if key_id is not None:
        return f"key {key_id}"
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has none
        return "no address"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    shift = found.max_prefixlen - _IPV6_CLIENT_BITS
    return f"{ipaddress.IPv6Address(int(found) >> shift << shift)}/{_IPV6_CLIENT_BITS}"
