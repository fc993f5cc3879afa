"""What is kept of an answer so that it can be given again: the bytes of its head, never the bytes of the picture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from imgserve.model import Rendition
from imgserve.services.finding import Sight
from imgserve.web.respond import RawHeaders, picture_headers
from imgserve.web.wanted import Wanted

Fields = Mapping[bytes, bytes]
"""The header fields of a request, each once, names in lower case."""

Guard = Callable[[Fields], bool]
"""Tells whether a request may be given an answer that was made for another."""

_DIGITS = 8
"""Of the second part of our entity tags."""


@dataclass(frozen=True, slots=True)
class PictureHead:
    """The head of a 200, as long as the same bytes are sent with it."""

    crc32: int
    size: int
    notes: tuple[str, ...]
    etag: bytes
    before: bytes
    """Header lines up to the one that tells which tier the bytes are from."""
    length: bytes
    """The line behind it."""

    def describes(self, rendition: Rendition) -> bool:
        """Tell whether these bytes are the ones."""
        return self.crc32 == rendition.crc32 and self.size == len(rendition.data) and self.notes == rendition.notes


@dataclass(slots=True, eq=False)
class HotEntry:
    """One answer, for one target and one class of clients."""

    wanted: Wanted
    sights: tuple[Sight, ...]
    """The answer holds while all of them count: whatever ends an answer in time has an end here."""
    admits: Guard | None
    """Whom it is for; None for anyone."""
    tag_start: bytes
    """First part of the entity tag, from the quote to the dash."""
    lasting: bytes
    """Header lines that a 200 and a 304 share, the entity tag aside."""
    picture: PictureHead | None
    """None until a picture was sent: revalidation needs none."""

    def holds(self, now: float, fields: Fields) -> bool:
        """Tell whether this is still what the request would be answered, picture aside."""
        for sight in self.sights:
            if now >= sight.until:
                return False
        return self.admits is None or self.admits(fields)

    def is_known_as(self, tag: bytes) -> bool:
        """Tell whether an If-None-Match is one strong tag of this picture, of whichever bytes."""
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
    """Admit requests that do not tell which page they come from."""
    return b"origin" not in fields


def hot_entry(wanted: Wanted, sights: tuple[Sight, ...], admits: Guard | None) -> HotEntry:
    """Keep what is the same in all answers for one target."""
    return HotEntry(
        wanted,
        sights,
        admits,
        f'"{wanted.validators.key}-'.encode(),
        lines(wanted.lasting_for(None, settled=True)),
        None,
    )


def picture_head(wanted: Wanted, rendition: Rendition) -> PictureHead:
    """Keep what describes these bytes."""
    headers = [
        *wanted.lasting_for(wanted.validators.etag(rendition), settled=True),
        *picture_headers(rendition, wanted.disposition, wanted.notes),
    ]
    size = len(rendition.data)
    length: RawHeaders = [(b"content-length", b"%d" % size)]
    etag = wanted.validators.etag(rendition).encode()
    return PictureHead(rendition.crc32, size, rendition.notes, etag, lines(headers), lines(length))


def lines(headers: RawHeaders) -> bytes:
    """Write headers as they are sent."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)
