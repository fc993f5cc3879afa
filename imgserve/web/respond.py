"""Respond with a rendition: its headers and its bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate
from time import time
from urllib.parse import quote, unquote_to_bytes

from starlette.types import Scope, Send

from imgserve.errors import ImageNotFound
from imgserve.formats import BY_MEDIA_TYPE, CHOSEN
from imgserve.geometry.plan import NOT_ENLARGED
from imgserve.http.conditional import content_range, entity_tag, parse_range, range_applies
from imgserve.http.headers import (
    CachePolicy,
    RawHeaders,
    cache_control,
    cache_status,
    content_disposition,
    file_name_for,
    quoted_id,
    server_timing,
    tags_of,
)
from imgserve.images.renditions import Served
from imgserve.images.resolve import RenditionRequest
from imgserve.model import Rendition
from imgserve.transform.hints import HINTS
from imgserve.transform.parse import DEFAULT_PRESET

# A rendition is never a document. If a browser opens one as such (SVG, sniffing), it can do nothing.
SAFETY: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"),
    (b"timing-allow-origin", b"*"),
]

_HITS = {tier: (b"cache-status", cache_status(detail=tier).encode()) for tier in ("memory", "disk")}
_QUERY_CHARACTERS = "%:/?#[]@!$&'()*+,;=~|"
"""Characters that stay as they are in the query of a redirect."""

DATE = "imgserve.date"
"""The key of the response's Date, in Unix seconds, in the request state."""


def date_of(scope: Scope) -> int:
    """Return the Date that the response will have, in Unix seconds; servers other than ours send the current time."""
    return int(scope.get("state", {}).get(DATE) or time())


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


def stable_headers(validators: Validators, policy: CachePolicy, vary: tuple[str, ...]) -> RawHeaders:
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


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a response may be stored and embedded."""

    policy: CachePolicy
    vary: tuple[str, ...] = ()
    """Request headers on which the permission depends."""
    same_site: bool = False
    """Whether only pages of the same site may embed the picture."""

    def soon(self, max_age: int) -> CachePolicy:
        """Return the policy of a response that changes soon."""
        return CachePolicy(min(max_age, self.policy.max_age), scope=self.policy.scope)


@dataclass(frozen=True, slots=True)
class UrlOptions:
    """Settings of URLs and their response headers."""

    prefix: str
    policy: CachePolicy
    tag_headers: tuple[str, ...] = ()
    """Names of headers that carry cache tags."""
    hints: frozenset[str] = frozenset()
    """The client hints that decide something."""
    placeholders: int = 0
    """Longest side of a placeholder; 0 if there are none."""
    moved_max_age: int = 10
    """Seconds for which caches store where an image was moved to."""


@dataclass(frozen=True, slots=True)
class ImageResponse:
    """Headers of the responses to one request, as long as its original stays the same."""

    request: RenditionRequest
    delivery: Delivery
    validators: Validators
    stable: RawHeaders
    """Headers that a 200 and a 304 share, without the entity tag."""
    disposition: str
    """Without the extension of a format that is chosen when the picture is rendered."""
    vary: tuple[str, ...]
    tags: RawHeaders
    """Cache tags of the picture."""
    ignored: RawHeaders
    """Misspelled parameters."""

    def is_dated(self, date: int) -> bool:
        """Return whether Last-Modified is right in a response with this Date, in Unix seconds."""
        modified, actual = self.validators.modified, max(0, self.request.original.changed_ns // 1_000_000_000)
        return modified <= date and (modified == actual or date < actual)

    def shared_headers(self, etag: str | None, *, settled: bool) -> RawHeaders:
        """Return the headers of a 200 and a 304; no cache may store a picture of an original that may still change."""
        tagged = [] if etag is None else [(b"etag", etag.encode("latin-1"))]
        stable = self.stable if settled else stable_headers(self.validators, self.delivery.soon(0), self.vary)
        return [*tagged, *stable, *self.tags]

    def headers(self, rendition: Rendition, *, settled: bool) -> RawHeaders:
        """Return the headers of a 200 with a rendition, without its length."""
        disposition = self.disposition
        if self.request.key.extension == CHOSEN:
            disposition = _disposition(self.request, BY_MEDIA_TYPE[rendition.media_type].extensions[0])
        query = self.request.query
        if query.preset == DEFAULT_PRESET and (query.named | query.hinted) <= {"dpr"}:  # nobody requested its size
            kept = tuple(note for note in rendition.notes if not note.startswith(NOT_ENLARGED))
            rendition = replace(rendition, notes=kept)
        return [
            *self.shared_headers(self.validators.etag(rendition), settled=settled),
            *picture_headers(rendition, disposition, query.notes, same_site=self.delivery.same_site),
            *self.ignored,
        ]


def image_response(request: RenditionRequest, options: UrlOptions, date: int, delivery: Delivery) -> ImageResponse:
    """Return the headers for a request; Last-Modified is never later than the Date (RFC 9110, 8.8.2.1)."""
    original, query, key = request.original, request.query, request.key
    modified = max(0, min(original.changed_ns // 1_000_000_000, date))
    validators = Validators(key.tag, formatdate(modified, usegmt=True), modified)
    # A property of the URL, whatever was chosen: a cache must ask again for another client.
    hints = [name.decode() for hint in sorted(query.hints) for name in HINTS[hint]]
    vary = (*(("Accept",) if query.transform.negotiates else ()), *hints, *delivery.vary)
    stable = stable_headers(validators, delivery.policy, vary)
    ids = original.image_id, *(mark.image_id for mark in original.marks)
    tags = tag_headers(options.tag_headers, tags_of(*ids, presets=query.presets) if options.tag_headers else ())
    if hints:
        tags.append((b"accept-ch", ", ".join(HINTS[hint][0].decode() for hint in sorted(options.hints)).encode()))
    ignored = [(b"x-image-ignored", ", ".join(query.ignored).encode())] if query.ignored else []
    disposition = _disposition(request, key.extension)
    return ImageResponse(request, delivery, validators, stable, disposition, vary, tags, ignored)


def _disposition(request: RenditionRequest, extension: str) -> str:
    name = request.query.download or file_name_for(request.original.image_id, extension)
    name = name if "." in name else f"{name}.{extension}"
    return content_disposition("inline" if request.query.download is None else "attachment", name)


def image_path(scope: Scope, prefix: str) -> str:
    """Return the path after the prefix, decoded once, byte by byte, since a name need not be UTF-8.

    A prefix that is spelled in another way raises ImageNotFound.
    """
    start = f"{scope.get('root_path', '')}{prefix}/".encode()
    raw: bytes = scope["raw_path"]
    if not raw.startswith(start):
        raise ImageNotFound
    return unquote_to_bytes(raw[len(start) :]).decode("utf-8", "surrogateescape")


def picture_headers(
    rendition: Rendition, disposition: str, notes: tuple[str, ...], *, same_site: bool = False
) -> RawHeaders:
    """Return the headers that describe one picture.

    `notes` list parameters that were adjusted; `same_site` is whether only pages of the same site may embed it.
    """
    headers: RawHeaders = [
        (b"content-type", rendition.media_type.encode()),
        (b"content-disposition", disposition.encode("latin-1")),
        (b"accept-ranges", b"bytes"),
        *SAFETY,
        (b"cross-origin-resource-policy", b"same-site" if same_site else b"cross-origin"),
    ]
    if notes or rendition.notes:
        headers.append((b"x-image-adjusted", "; ".join((*notes, *rendition.notes)).encode("ascii", "replace")))
    return headers


def timing_headers(served: Served) -> RawHeaders:
    """Return the headers that report where a picture came from."""
    if served.outcome in _HITS:
        return [_HITS[served.outcome]]
    status = cache_status("miss", stored=served.stored, collapsed=served.outcome == "coalesced")
    return [(b"cache-status", status.encode()), (b"server-timing", server_timing(served.seconds).encode())]


async def send_moved(send: Send, scope: Scope, path: str, options: UrlOptions, delivery: Delivery) -> None:
    """Redirect to the path of a moved image, with the query of the request; caches store it as they do the picture."""
    location = f"{scope.get('root_path', '')}{options.prefix}/{quoted_id(path)}"
    if query := scope["query_string"]:
        location += f"?{quote(query, safe=_QUERY_CHARACTERS)}"
    headers = [
        (b"location", location.encode()),
        (b"cache-control", cache_control(delivery.soon(options.moved_max_age)).encode()),
        (b"content-length", b"0"),
        *([(b"vary", ", ".join(delivery.vary).encode())] if delivery.vary else []),
    ]
    await send_response(send, 308, headers)


async def send_response(send: Send, status: int, headers: RawHeaders, body: bytes = b"") -> None:
    """Send a response as a whole."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_picture(
    send: Send,
    rendition: Rendition,
    headers: RawHeaders,
    conditions: Mapping[str, str],
    validators: Validators,
    *,
    head: bool,
) -> None:
    """Send a 200, or a 206 if a single range is requested and applies; raise RangeNotSatisfiable for one outside."""
    size, status, body = len(rendition.data), 200, rendition.data
    etag = validators.etag(rendition)
    # A Range on HEAD is to be ignored (RFC 9110, 14.2).
    applies = not head and range_applies(conditions.get("if-range"), etag=etag, last_modified=validators.modified)
    if applies and (part := parse_range(conditions.get("range"), size)):
        first, last = part
        status, body = 206, body[first : last + 1]
        headers = [*headers, (b"content-range", content_range(first, last, size).encode())]
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send_response(send, status, headers, b"" if head else body)


def lines(headers: RawHeaders) -> bytes:
    """Return headers as they are sent."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)
