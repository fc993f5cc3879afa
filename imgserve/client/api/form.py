"""A form with one file in it (RFC 7578): what stands before the file and behind it. Pure but for the boundary."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

_ESCAPED = {'"': "%22", "\r": "%0D", "\n": "%0A"}
"""As browsers write names (HTML Standard, multipart/form-data)."""


@dataclass(frozen=True, slots=True)
class Form:
    """Text fields, then a file."""

    fields: tuple[tuple[str, str], ...]
    file_name: str
    boundary: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def media_type(self) -> str:
        """Of the whole."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def head(self) -> bytes:
        """All before the file."""
        parts = [self._part(f'name="{_escaped(name)}"', value) for name, value in self.fields]
        opening = f'name="file"; filename="{_escaped(self.file_name)}"\r\ncontent-type: application/octet-stream'
        return _octets([*parts, self._part(opening, "").removesuffix("\r\n")])

    @property
    def tail(self) -> bytes:
        """All behind the file."""
        return _octets([f"\r\n--{self.boundary}--\r\n"])

    def _part(self, disposition: str, value: str) -> str:
        return f"--{self.boundary}\r\ncontent-disposition: form-data; {disposition}\r\n\r\n{value}\r\n"


def _escaped(name: str) -> str:
    return "".join(_ESCAPED.get(character, character) for character in name)


def _octets(texts: Iterable[str]) -> bytes:
    return "".join(texts).encode("utf-8", "surrogateescape")
