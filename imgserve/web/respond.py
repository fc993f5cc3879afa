"""A rendition as an answer: which headers it carries, and whether the whole, a part or nothing of it is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.types import Send

from imgserve.http.conditional import content_range, entity_tag, parse_range, range_applies
from imgserve.http.headers import CachePolicy, cache_control
from imgserve.model import Rendition

RawHeaders = list[tuple[bytes, bytes]]

# A rendition is never a document. If a browser opens one as such (SVG, sniffing), it can do nothing.
_SAFETY: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"timing-allow-origin", b"*"),
]

UNSETTLED = CachePolicy(max_age=0)
"""For a picture of an original that may be incomplete."""


@dataclass(frozen=True, slots=True)
class Validators:
    """The validators that conditional requests are compared with."""

    key: str
    """The first part of the entity tag."""
    last_modified: str
    modified: int
    """Unix seconds of `last_modified`."""

    def etag(self, rendition: Rendition) -> str:
        """Return the entity tag of a rendition."""
        return entity_tag(self.key, rendition.crc32)


def lasting_headers(validators: Validators, policy: CachePolicy, vary: tuple[str, ...]) -> RawHeaders:
    """Return the headers shared by 200, 206, 304 and HEAD of one URL (RFC 9110, 15.4.5), without the entity tag."""
    headers = [
        (b"last-modified", validators.last_modified.encode()),
        (b"cache-control", cache_control(policy).encode()),
    ]
    return [*headers, (b"vary", ", ".join(vary).encode())] if vary else headers


def tag_headers(names: Sequence[str], tags: Sequence[str]) -> RawHeaders:
    """Return the headers with cache tags: `Cache-Tag` with commas, as in Cloudflare, others with spaces."""
    return [
        (name.lower().encode(), (", " if name.lower() == "cache-tag" else " ").join(tags).encode()) for name in names
    ]


def picture_headers(rendition: Rendition, disposition: str, notes: tuple[str, ...]) -> RawHeaders:
    """Return the headers that describe one picture; `notes` list parameters that were adjusted."""
    headers: RawHeaders = [
        (b"content-type", rendition.media_type.encode()),
        (b"content-disposition", disposition.encode("latin-1")),
        (b"accept-ranges", b"bytes"),
        *_SAFETY,
    ]
    if notes or rendition.notes:
        headers.append((b"x-image-adjusted", "; ".join((*notes, *rendition.notes)).encode("ascii", "replace")))
    return headers


async def send_not_modified(send: Send, headers: RawHeaders) -> None:
    """Send a 304."""
    await send({"type": "http.response.start", "status": 304, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def send_picture(
    send: Send,
    rendition: Rendition,
    headers: RawHeaders,
    *,
    head: bool,
    conditions: Mapping[str, str],
    validators: Validators,
) -> None:
    """Send a 200, or a 206 if a single range is requested and applies.

    Raises:
        RangeNotSatisfiable: the range is outside the picture.
    """
    size, status, body = len(rendition.data), 200, rendition.data
    part = None
    # A Range on HEAD is to be ignored (RFC 9110, 14.2).
    etag = validators.etag(rendition)
    if not head and range_applies(conditions.get("if-range"), etag=etag, last_modified=validators.modified):
        part = parse_range(conditions.get("range"), size)
    if part is not None:
        first, last = part
        status, body = 206, body[first : last + 1]
        headers = [*headers, (b"content-range", content_range(first, last, size).encode())]
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
