"""Responses that the hot path can send again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from starlette.types import Scope

from imgserve.cache import RenditionKey, TierName
from imgserve.http.headers import AcceptClass, RawHeaders, accept_class
from imgserve.images.locate import CachedStat
from imgserve.model import Rendition
from imgserve.web.respond import ImageResponse

Fields = Mapping[bytes, bytes]
"""The header fields of a request, each once, with names in lower case."""
Guard = Callable[[Fields], bool]
"""Returns whether a request may receive a response made for another."""
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
    """The Content-Length line."""

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
    tag_start: bytes
    """First part of the entity tag, from the quote to the dash."""
    modified: int
    """Last-Modified in Unix seconds."""
    stable: bytes
    """Header lines shared by 200 and 304, without the entity tag."""
    picture: PictureHead | None
    """None until a picture was sent; revalidation needs none."""

    def is_valid_for(self, now: float, date: int, fields: Fields) -> bool:
        """Return whether the entry is valid for a request at a monotonic time, in a response with this Date."""
        for stat in self.stats:
            if now >= stat.until:
                return False
        if date < self.modified:  # the clock was set back
            return False
        return self.admits is None or self.admits(fields)

    def has_tag(self, tag: bytes) -> bool:
        """Return whether If-None-Match is a single strong tag of this picture, for any bytes."""
        if self.picture is not None and tag == self.picture.etag:
            return True
        start = len(self.tag_start)
        return (
            tag.startswith(self.tag_start)
            and len(tag) == start + _DIGITS + 1
            and tag.endswith(b'"')
            and tag[start:-1].isalnum()
        )


def without_origin(fields: Fields) -> bool:
    """Return whether a request has no Origin."""
    return b"origin" not in fields


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


class HotTable:
    """Responses that may be sent again, bounded in number."""

    def __init__(self, admits: Guard | None) -> None:
        self._admits = admits
        self._entries: dict[tuple[bytes, AcceptClass], HotEntry] = {}
        self._classes: dict[bytes | None, AcceptClass] = {None: ()}

    def find(self, target: bytes, accept: bytes | None) -> HotEntry | None:
        """Return the entry of a target and an Accept header, or None."""
        accepted = self._classes.get(accept)
        if accepted is None:
            accepted = self._class_of(accept or b"")
        return self._entries.get((target, accepted))

    def remember(
        self,
        scope: Scope,
        accept: str,
        response: ImageResponse,
        stats: tuple[CachedStat, ...],
        rendition: Rendition | None,
    ) -> None:
        """Store a response: a picture, or a 304 without a rendition. Its original must be settled."""
        target = scope.get("state", {}).get(TARGET)
        path, query = scope["raw_path"][len(scope.get("root_path", "")) :], scope["query_string"]
        # Other spellings of the target are not cached.
        if target is None or len(target) > _LONGEST or target != (path + b"?" + query if query else path):
            return
        index = (target, accept_class(accept))
        entry = self._entries.get(index)
        if entry is None or entry.response is not response:
            if entry is None and len(self._entries) >= _MOST:
                # Many at once: each removal from the front of a dictionary leaves a gap that the next must skip.
                for oldest in list(islice(self._entries, _MOST // 8)):
                    del self._entries[oldest]
            start, stable = f'"{response.validators.key}-'.encode(), response.shared_headers(None, settled=True)
            modified = response.validators.modified
            entry = HotEntry(response, response.request.key, stats, self._admits, start, modified, lines(stable), None)
            self._entries[index] = entry
        entry.stats = stats
        if rendition is not None and not (entry.picture and entry.picture.describes(rendition)):
            size, etag = len(rendition.data), response.validators.etag(rendition).encode()
            before, length = lines(response.headers(rendition, settled=True)), b"content-length: %d\r\n" % size
            entry.picture = PictureHead(rendition.crc32, size, rendition.notes, etag, before, length)

    def _class_of(self, accept: bytes) -> AcceptClass:
        accepted = accept_class(accept.decode("latin-1"))
        if len(accept) <= _LONGEST:
            if len(self._classes) >= _MOST_ACCEPTS:
                self._classes = {None: ()}
            self._classes[accept] = accepted
        return accepted
