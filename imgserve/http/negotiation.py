"""Which formats a client accepts: the Accept header by RFC 9110, section 12.5.1."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Literal

from imgserve.formats import FORMATS

AcceptClass = tuple[Literal["avif", "webp"], ...]
"""Modern formats that a client prefers to the web-safe fallback, best first."""
ACCEPT_CLASSES: tuple[AcceptClass, ...] = ((), ("webp",), ("avif",), ("avif", "webp"), ("webp", "avif"))
"""Every class of clients."""
_MODERN: AcceptClass = ("avif", "webp")  # best first: ties go to the earlier
_FALLBACKS = ("jpg", "png", "gif")
_MAX_RANGES = 64  # browsers send fewer than ten; the rest of a hostile header costs nothing
_MEMOIZED_LENGTH = 512  # so that the memo stays small whatever is sent
# Possessive quantifiers: linear on any input. A comma inside a quoted string separates nothing.
_PART = re.compile(r'(?:[^,"]++|"(?:[^"\\]++|\\.)*+"?)++')
_RANGE = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+")
_QUALITY = re.compile(r"0?\.[0-9]{1,9}|0\.?|1\.?0{0,9}")  # `.2` is not in the grammar, but Java sends it


def accept_class(accept: str | None) -> AcceptClass:
    """Return the modern formats that the client prefers to the web-safe fallback, best first."""
    if not accept:
        return ()
    return _memoized(accept) if len(accept) <= _MEMOIZED_LENGTH else _classify(accept)


def _classify(accept: str) -> AcceptClass:
    weights = _weights(accept)
    fallback = max(_weight_of(FORMATS[name].media_type, weights) for name in _FALLBACKS)
    # Only an explicit mention counts: `*/*` says nothing about what a client decodes.
    asked = {name: weights.get(FORMATS[name].media_type, 0.0) for name in _MODERN}
    taken = [name for name in _MODERN if asked[name] > 0 and asked[name] >= fallback]
    return tuple(sorted(taken, key=lambda name: -asked[name]))


_memoized = lru_cache(maxsize=256)(_classify)


def _weights(accept: str) -> dict[str, float]:
    """Return the weight of each media range; the lower one if a range is repeated."""
    weights: dict[str, float] = {}
    for part in islice(_PART.finditer(accept), _MAX_RANGES):
        for media_range, weight in _media_range(part[0].lower()):
            weights[media_range] = min(weight, weights.get(media_range, 1.0))
    return weights


def _media_range(part: str) -> Iterator[tuple[str, float]]:
    """Yield the media range and weight of one list member, or nothing if it is malformed.

    Members with other parameters are ignored: `image/webp;x=1` is not the `image/webp` that is served.
    """
    media_range, *parameters = (piece.strip(" \t") for piece in part.split(";"))
    weight = "1"
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        if name != "q":
            return
        weight = value
    if _RANGE.fullmatch(media_range) and _QUALITY.fullmatch(weight):
        yield media_range, float(weight)


def _weight_of(media_type: str, weights: dict[str, float]) -> float:
    """Return the weight of the most specific range that covers a media type."""
    kind = media_type.partition("/")[0]
    for media_range in (media_type, f"{kind}/*", "*/*"):
        if media_range in weights:
            return weights[media_range]
    return 0.0
