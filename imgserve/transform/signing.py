"""Signatures of URLs: HMAC-SHA256 of a text that is the same in every order and percent-encoding of a URL.

A signature also counts if it signs path and query exactly as they are sent. The canonical text is itself a URL with the
same meaning, so a signature of the one kind is never a signature of another URL of the other kind.
"""

import hmac
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from imgserve.errors import BadTransform, quoted
from imgserve.transform.pairs import THEN, Pair, decoded, is_signature, read_pair, split_parts

_SECONDS = re.compile(rb"[0-9]{1,12}")
_SCHEME_AND_HOST = re.compile(r"(?:(?:https?:)?//[^/?#]+)?(?=/)", re.IGNORECASE)
_URL_CHARACTERS = "!$%&'()*+,/:;=?@[]~"
"""RFC 3986, apart from # before a fragment; all others are escaped."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a valid signature covers besides the picture."""

    query: bytes
    """The rest of the query: signature and expiry are no part of a cache key."""
    expires: int | None
    """Unix seconds."""


def canonical_text(path: bytes | str, query: bytes | str = b"") -> str:
    """Return the text that a signature of a URL signs, without the signature that the query may contain.

    The path and every name and value are percent-decoded once; of their bytes, only unreserved characters of RFC 3986
    and `/` stay plain. Pairs are sorted by name, then by value; those before a `then` stay before it.

    Raises BadTransform if the query is longer than a server accepts.
    """
    return _text(_bytes(path), split_parts(without(_bytes(query), is_signature)))


def sign(secret: str, path: bytes | str, query: bytes | str = b"") -> str:
    """Return the signature of a URL as 64 hexadecimal digits; raise BadTransform as `canonical_text`."""
    return _hmac(secret, canonical_text(path, query).encode())


def signed_url(secret: str, url: str, *, expires: int | None = None) -> str:
    """Return a URL or path with a signature, and with an expiry in Unix seconds; both replace those in it.

    Raises:
        BadTransform: as `canonical_text`.
        ValueError: it is neither a URL nor a path.
    """
    host = _SCHEME_AND_HOST.match(url)
    if host is None:
        raise ValueError(f"expected a URL or a path that begins with /, but received {quoted(url)}")
    address, mark, fragment = url[host.end() :].partition("#")
    path, _, query = quote(_bytes(address), safe=_URL_CHARACTERS).partition("?")
    rest = without(query.encode(), lambda pair: is_signature(pair) or (_is_expiry(pair) and expires is not None))
    query = "&".join(filter(None, (rest.decode(), "" if expires is None else f"expires={expires:d}")))
    query = "&".join(filter(None, (query, f"signature={sign(secret, path, query)}")))
    return f"{host[0]}{path}?{query}{mark}{fragment}"


def verify(secrets: Sequence[str], path: bytes, query: bytes) -> Verified | None:
    """Return what the signature of a URL covers; None without exactly one that is valid for one of the secrets.

    It may sign the canonical text, or path and query as they are sent, with the signature removed.

    Raises BadTransform if the query is longer than a server accepts, or its signed expiry is not a time.
    """
    pairs = [(part, read_pair(part)) for part in split_parts(query)]
    signatures = [(part, pair.value) for part, pair in pairs if is_signature(pair)]
    if len(signatures) != 1:
        return None
    [(signature_part, received)] = signatures
    parts = query.split(b"&")
    parts.remove(signature_part)
    sent = b"&".join(parts)
    texts = _text(path, filter(None, parts)).encode(), path + b"?" + sent if sent else path
    # Every comparison is made, so that the time does not depend on which one matches.
    matches = [hmac.compare_digest(received, _hmac(secret, text).encode()) for secret in secrets for text in texts]
    if not any(matches):
        return None
    expiries = {part: pair.value for part, pair in pairs if _is_expiry(pair)}
    return Verified(b"&".join(part for part in parts if part not in expiries), _expiry(set(expiries.values())))


def _text(path: bytes, parts: Iterable[bytes]) -> str:
    steps, pairs = 0, list[tuple[int, bool, list[str]]]()
    for name, value in map(decoded, parts):
        ends = name.lower() == THEN
        pairs.append((steps, ends, [quote_from_bytes(name), quote_from_bytes(value)]))
        steps += ends
    plain = quote_from_bytes(unquote_to_bytes(path))
    return f"{plain}?{'&'.join('='.join(pair) for _, _, pair in sorted(pairs))}" if pairs else plain


def _expiry(values: Collection[bytes]) -> int | None:
    if len(values) > 1:
        raise BadTransform(["expires: given twice with different values"])
    for value in values:
        if not _SECONDS.fullmatch(value):
            received = quoted(value.decode("utf-8", "backslashreplace"))
            raise BadTransform([f"expires: expected a time in Unix seconds, but received {received}"])
        return int(value)
    return None


def _is_expiry(pair: Pair) -> bool:
    return pair.name == "expires"


def without(query: bytes, unwanted: Callable[[Pair], bool]) -> bytes:
    """Return a query without some of its pairs, otherwise unchanged."""
    return b"&".join(part for part in query.split(b"&") if not unwanted(read_pair(part)))


def _bytes(text: bytes | str) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


def _hmac(secret: str, text: bytes) -> str:
    return hmac.digest(secret.encode(), text, "sha256").hex()
