"""A streaming parser of multipart/form-data (RFC 7578)."""

import logging
from collections import deque
from dataclasses import dataclass

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from imgserve.errors import BadRequest

_LONGEST_BOUNDARY = 70
"""RFC 2046, 5.1.1; the search for it costs more the longer it is."""
_HEADERS = 8
"""Of a part, of which two are expected."""
_HEADER_BYTES = 4096
# The parser warns of each mistake, which clients make at will; this logger is nobody's child.
_silent = logging.Logger("multipart", logging.CRITICAL)  # noqa: LOG001  getLogger would give one that is heard


@dataclass(frozen=True, slots=True)
class PartHead:
    """A part begins."""

    name: str
    file_name: str | None
    """What a client calls the file, unchecked; None for a field that is no file."""


@dataclass(frozen=True, slots=True)
class PartEnd:
    """A part is there whole."""


Event = PartHead | PartEnd | bytes
"""What arrives, in order: heads, then pieces of the body as bytes, then ends."""


class FormReader:
    """Cuts one form; as many bytes are given back as were taken."""

    def __init__(self, content_type: str) -> None:
        """Take the media type with its boundary.

        Raises:
            BadRequest: there is none, or one that no form has.
        """
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
        """Take a piece of the body and give what is in it.

        Raises:
            BadRequest: this is no form.
        """
        self._events = deque()
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadRequest("multipart/form-data: expected parts between boundaries, each with its headers") from error
        return self._events

    def end(self) -> None:
        """Take the end of the body.

        Raises:
            BadRequest: the form is cut short.
        """
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
        self._events.append(
            PartHead(_text(options[b"name"]), None if file_name is None else _text(file_name)),
        )

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _part_ended(self) -> None:
        self._events.append(PartEnd())

    def _form_ended(self) -> None:
        self._ended = True


def _text(octets: bytes) -> str:
    """Read a name as browsers write it, in UTF-8 and with its quotes escaped (HTML Standard, multipart/form-data)."""
    return octets.decode("utf-8", "replace").replace("%22", '"')
