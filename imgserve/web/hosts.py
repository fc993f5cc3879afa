"""The Host header by RFC 9112, 3.2: exactly one, well formed, and one that this server answers to."""

import re
from collections.abc import Collection, Iterable

from imgserve.errors import BadHost

# A name, an IPv4 address or a bracketed IPv6 address, with an optional port (RFC 3986, 3.2.2, without pct-encoding).
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=-]*)(?::[0-9]{0,5})?")


def check_host(headers: Iterable[tuple[bytes, bytes]], http_version: str, allowed: Collection[str]) -> None:
    """Refuse a request whose Host is missing, repeated, malformed or not allowed.

    Raises:
        BadHost: with what is wrong.
    """
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1:
        raise BadHost("The Host header is repeated.")
    if not hosts:
        if http_version == "1.0" and "*" in allowed:
            return
        raise BadHost("The Host header is missing.")
    matched = _HOST.fullmatch(hosts[0].decode("latin-1"))
    if matched is None:
        raise BadHost("The Host header is malformed.")
    if "*" not in allowed and not _is_allowed(matched["name"].lower().rstrip("."), allowed):
        raise BadHost("This server does not answer to this host.")


def _is_allowed(name: str, allowed: Collection[str]) -> bool:
    """Match a name exactly, or by a pattern such as `*.example.com`, which covers every name below."""
    return any(name == known or (known.startswith("*.") and name.endswith(known[1:])) for known in allowed)
