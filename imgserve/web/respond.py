"""Respond with a rendition: its headers, its bytes, and the responses that the hot path can send again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from itertools import islice
from time import time
from urllib.parse import quote, unquote_to_bytes

from starlette.types import Scope, Send

from imgserve.access.access import Fields, Guard
from imgserve.cache import RenditionKey, TierName
from imgserve.errors import ImageNotFound
from imgserve.formats import BY_MEDIA_TYPE, CHOSEN
from imgserve.http.conditional import content_range, entity_tag, parse_range, range_applies
from imgserve.http.headers import (
    AcceptClass,
    CachePolicy,
    RawHeaders,
    accept_class,
    cache_control,
    cache_status,
    content_disposition,
    file_name_for,
    quoted_id,
    server_timing,
    tags_of,
    with_one_vary,
)
from imgserve.images.demand import Hits
from imgserve.images.locate import CachedStat
from imgserve.images.renditions import Served
from imgserve.images.resolve import RenditionRequest
from imgserve.metrics import PictureTally
from imgserve.model import Rendition
from imgserve.transform.hints import HINTS

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
        return [
            *self.shared_headers(self.validators.etag(rendition), settled=settled),
            *picture_headers(rendition, disposition, self.request.query.notes, same_site=self.delivery.same_site),
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


_DIGITS = 8
"""Digits of the second part of our entity tags."""


@dataclass(frozen=True, slots=True)
class PictureHead:
    """The head of a 200 for certain bytes."""

    crc32: int
    size: int
    notes: tuple[str, ...]
    etag: bytes
    before: bytes
    """Header lines up to Cache-Status."""
    length: bytes
    """The Content-Length line, and those after it."""

    def describes(self, rendition: Rendition) -> bool:
        """Return whether the head belongs to these bytes."""
        return self.crc32 == rendition.crc32 and self.size == len(rendition.data) and self.notes == rendition.notes


@dataclass(slots=True, eq=False)
class HotEntry:
    """A response for one target and one class of clients."""

    response: ImageResponse
    key: RenditionKey
    stats: tuple[CachedStat, ...]
    """The entry is valid until the first of them expires."""
    admits: Guard | None
    """Which requests it is for; None for all."""
    site: str
    tag_start: bytes
    """First part of the entity tag, from the quote to the dash."""
    modified: int
    """Last-Modified in Unix seconds."""
    stable: bytes
    """Header lines shared by 200 and 304, without the entity tag."""
    picture: PictureHead | None
    """None until a picture was sent; revalidation needs none."""
    tally: PictureTally
    """Where the bytes sent are counted."""
    hits: int = 0
    """How often the picture was sent since they were last taken."""

    def is_valid_for(self, now: float, date: int, fields: Fields) -> bool:
        """Return whether the entry is valid for a request at a monotonic time, in a response with this Date."""
        for stat in self.stats:
            if now >= stat.until:
                return False
        if date < self.modified:  # the clock was set back
            return False
        return self.admits is None or self.admits(fields)

    def has_tag(self, tag: bytes) -> bool:
        """Return whether If-None-Match is a single strong tag of this picture, for any bytes if those are unknown."""
        if self.picture is not None:
            return tag == self.picture.etag
        start = len(self.tag_start)
        return (
            tag.startswith(self.tag_start)
            and len(tag) == start + _DIGITS + 1
            and tag.endswith(b'"')
            and tag[start:-1].isalnum()
        )


def lines(headers: RawHeaders) -> bytes:
    """Return headers as they are sent."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


LookUp = Callable[[RenditionKey], tuple[Rendition, TierName] | None]
"""Returns a rendition from a tier that never blocks, and counts the use; or None."""
TARGET = "imgserve.target"
"""The key of the raw target in the request state, present if the response may be stored."""
_MOST = 8192
_LONGEST = 1024
_MOST_ACCEPTS = 512


@dataclass(frozen=True, slots=True)
class Place:
    """The requests that a response is for."""

    scope: Scope
    accept: str
    site: str
    headers: RawHeaders
    """Further headers of every response to them."""
    admits: Guard | None
    """Which of the requests for the URL it is for; None for all."""


class HotTable:
    """Responses that may be sent again, bounded in number."""

    def __init__(self, tally: Callable[[str], PictureTally]) -> None:
        """Create an empty table; `tally` returns where the bytes of pictures of a format are counted."""
        self._tally = tally
        self._entries: dict[tuple[bytes, AcceptClass], HotEntry] = {}
        self._classes: dict[bytes | None, AcceptClass] = {None: ()}

    def find(self, target: bytes, accept: bytes | None) -> HotEntry | None:
        """Return the entry of a target and an Accept header, or None."""
        accepted = self._classes.get(accept)
        if accepted is None:
            accepted = self._class_of(accept or b"")
        return self._entries.get((target, accepted))

    def remember(
        self, place: Place, response: ImageResponse, stats: tuple[CachedStat, ...], rendition: Rendition | None
    ) -> None:
        """Store a response: a picture, or a 304 without a rendition. Its original must be settled."""
        scope = place.scope
        target = scope.get("state", {}).get(TARGET)
        path, query = scope["raw_path"][len(scope.get("root_path", "")) :], scope["query_string"]
        # Other spellings of the target are not cached.
        if target is None or len(target) > _LONGEST or target != (path + b"?" + query if query else path):
            return
        index = (target, accept_class(place.accept))
        entry = self._entries.get(index)
        if entry is None or entry.response is not response:
            if entry is None and len(self._entries) >= _MOST:
                # Many at once: each removal from the front of a dictionary leaves a gap that the next must skip.
                for oldest in list(islice(self._entries, _MOST // 8)):
                    del self._entries[oldest]
            start, modified = f'"{response.validators.key}-'.encode(), response.validators.modified
            shared, more = with_one_vary(response.shared_headers(None, settled=True), place.headers)
            stable = lines([*shared, *more])
            key = response.request.key
            tally = self._tally(key.extension)
            entry = HotEntry(response, key, stats, place.admits, place.site, start, modified, stable, None, tally)
            self._entries[index] = entry
        entry.stats, entry.admits = stats, place.admits
        if rendition is None:
            return
        entry.hits += 1
        if not (entry.picture and entry.picture.describes(rendition)):
            size, etag = len(rendition.data), response.validators.etag(rendition).encode()
            headers, more = with_one_vary(response.headers(rendition, settled=True), place.headers)
            before, length = lines(headers), b"content-length: %d\r\n" % size + lines(more)
            entry.picture = PictureHead(rendition.crc32, size, rendition.notes, etag, before, length)

    def take_hits(self) -> list[Hits]:
        """Return how often pictures were sent since the last call."""
        taken = [
            Hits(entry.response.request, entry.picture.crc32, entry.hits)
            for entry in self._entries.values()
            if entry.hits and entry.picture
        ]
        for entry in self._entries.values():
            entry.hits = 0
        return taken

    def clear(self) -> None:
        """Remove all entries."""
        self._entries = {}

    def _class_of(self, accept: bytes) -> AcceptClass:
        accepted = accept_class(accept.decode("latin-1"))
        if len(accept) <= _LONGEST:
            if len(self._classes) >= _MOST_ACCEPTS:
                self._classes = {None: ()}
            self._classes[accept] = accepted
        return accepted
