"""A streaming parser of multipart/form-data (RFC 7578)."""

import logging
from collections import deque
from dataclasses import dataclass

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from imgserve.errors import BadRequest

_LONGEST_BOUNDARY = 70
"""The limit of RFC 2046, 5.1.1; a longer boundary makes the search slower."""
_HEADERS = 8
"""Maximum header fields of a part; two are expected."""
_HEADER_BYTES = 4096
# The parser logs a warning for each mistake, which clients can cause at will; this logger has no parent.
_silent = logging.Logger("multipart", logging.CRITICAL)  # noqa: LOG001  getLogger would return one with handlers


@dataclass(frozen=True, slots=True)
class PartHead:
    """The start of a part."""

    name: str
    file_name: str | None
    """The unchecked file name of the client; None for a field without a file."""


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The end of a part."""


Event = PartHead | PartEnd | bytes
"""For each part in order: its head, pieces of its body, its end."""


class FormReader:
    """Parses one form incrementally."""

    def __init__(self, content_type: str) -> None:
        """Create a parser for a Content-Type, or raise BadRequest if its boundary is missing or invalid."""
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= _LONGEST_BOUNDARY or b"\r" in boundary or b"\n" in boundary:
            raise BadRequest(f"multipart/form-data: expected a boundary of 1 to {_LONGEST_BOUNDARY} characters")
        self._events: deque[Event] = deque()
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_began,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._header_ended,
                "on_headers_finished": self._head_ended,
                "on_part_data": self._on_data,
                "on_part_end": self._part_ended,
                "on_end": self._form_ended,
            },
            max_header_count=_HEADERS,
            max_header_size=_HEADER_BYTES,
        )
        self._parser.logger = _silent

    def feed(self, data: bytes) -> deque[Event]:
        """Parse a piece of the body and return its events; raise BadRequest if it is no valid form."""
        self._events = deque()
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadRequest("multipart/form-data: expected parts between boundaries, each with its headers") from error
        return self._events

    def end(self) -> None:
        """Raise BadRequest if the form is incomplete at the end of the body."""
        if not self._ended:
            raise BadRequest("multipart/form-data: expected a closing boundary, but the body ended before it")

    def _part_began(self) -> None:
        self._headers = {}
        self._name = self._value = b""

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ended(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _head_ended(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise BadRequest('multipart/form-data: expected parts with "Content-Disposition: form-data; name=…"')
        file_name = options.get(b"filename")
        self._events.append(PartHead(_text(options[b"name"]), None if file_name is None else _text(file_name)))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _part_ended(self) -> None:
        self._events.append(PartEnd())

    def _form_ended(self) -> None:
        self._ended = True


def _text(octets: bytes) -> str:
    """Return a name as browsers encode it: UTF-8 with escaped quotes (HTML Standard, multipart/form-data)."""
    return octets.decode("utf-8", "replace").replace("%22", '"')
