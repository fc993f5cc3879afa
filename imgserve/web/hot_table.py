"""The table of cached responses that are sent again without ASGI."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from starlette.types import Scope

from imgserve.access.access import Fields, Guard
from imgserve.cache import RenditionKey, TierName
from imgserve.http.headers import AcceptClass, RawHeaders, accept_class, with_one_vary
from imgserve.images.demand import Hits
from imgserve.images.locate import CachedStat
from imgserve.metrics import PictureTally
from imgserve.model import Rendition
from imgserve.web.respond import ImageResponse, lines

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
