"""What caches and developers are told: Cache-Control, Cache-Status (RFC 9211), Server-Timing. Values in, text out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Forwarded = Literal["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"]
"""Why the cache had to go further, in the words of RFC 9211, 2.2."""

_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*")
_NOT_IN_STRING = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How long caches keep an answer, in seconds; None leaves a directive out."""

    max_age: int
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    immutable: bool = False
    public: bool = True


def cache_control(policy: CachePolicy) -> str:
    """Write a Cache-Control value."""
    timed = {
        "max-age": policy.max_age,
        "s-maxage": policy.s_maxage if policy.public else None,  # means nothing to a private cache
        "stale-while-revalidate": policy.stale_while_revalidate,
        "stale-if-error": policy.stale_if_error,
    }
    directives = ["public" if policy.public else "private"]
    directives += [f"{name}={seconds}" for name, seconds in timed.items() if seconds is not None]
    return ", ".join([*directives, "immutable"] if policy.immutable else directives)


def cache_status(
    fwd: Forwarded | None = None, *, stored: bool = False, collapsed: bool = False, detail: str = ""
) -> str:
    """Write our Cache-Status member: a hit, or why it went further and what became of the answer."""
    parts = ["imgserve", "hit" if fwd is None else f"fwd={fwd}"]
    parts += ["stored"] if stored else []
    parts += ["collapsed"] if collapsed else []
    parts += [f"detail={_item(detail)}"] if detail else []
    return "; ".join(parts)


def _item(text: str) -> str:
    """Write a structured-field token, or a string where a token cannot hold it (RFC 8941, 3.3)."""
    if _TOKEN.fullmatch(text):
        return text
    escaped = _NOT_IN_STRING.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def server_timing(durations: Mapping[str, float]) -> str:
    """Write a Server-Timing value from seconds per step."""
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in durations.items())
