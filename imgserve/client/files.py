"""Files to upload, read piece by piece and again from the start for a second try; and files saved as a whole."""

import contextlib
import io
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

File = str | os.PathLike[str] | bytes | BinaryIO | tuple[str, str | os.PathLike[str] | bytes | BinaryIO]
"""A path, bytes, an open binary file, or a name with one of these."""

Progress = Callable[[int, int | None], object]
"""Called with the bytes sent and the bytes in all, if known; a second try starts from 0 again."""

_PIECE = 65_536
_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""As browsers write names (HTML Standard, multipart/form-data)."""


@dataclass(frozen=True, slots=True)
class Form:
    """Text fields, then a file (multipart/form-data, RFC 7578)."""

    fields: tuple[tuple[str, str], ...]
    file_name: str
    boundary: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def media_type(self) -> str:
        """Media type of the form."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def head(self) -> bytes:
        """The bytes before the file."""
        parts = [self._part(f'name="{name.translate(_ESCAPED)}"', value) for name, value in self.fields]
        names = f'name="file"; filename="{self.file_name.translate(_ESCAPED)}"'
        parts.append(self._part(f"{names}\r\ncontent-type: application/octet-stream", "").removesuffix("\r\n"))
        return "".join(parts).encode("utf-8", "surrogateescape")

    @property
    def tail(self) -> bytes:
        """The bytes after the file."""
        return f"\r\n--{self.boundary}--\r\n".encode()

    def _part(self, disposition: str, value: str) -> str:
        return f"--{self.boundary}\r\ncontent-disposition: form-data; {disposition}\r\n\r\n{value}\r\n"


@dataclass(slots=True)
class FileReader:
    """A file while it is sent."""

    body: "FileBody"
    stream: BinaryIO
    size: int | None
    """Bytes from its start, if known."""
    _position: int = 0

    @property
    def length(self) -> int | None:
        """Bytes of the whole body, if known."""
        form = self.body.form
        return self.size if form is None or self.size is None else len(form.head) + self.size + len(form.tail)

    def read(self) -> bytes:
        """Return the next piece, empty at the end; raise OSError if the file cannot be read, or has become shorter."""
        most = _PIECE if self.size is None else min(_PIECE, self.size - self._position)
        data = self.stream.read(most) if most else b""
        self._position += len(data)
        if not data and self.size is not None and self._position < self.size:
            raise OSError(f"{self.body.name}: became shorter while it was sent")
        return data

    def report(self) -> None:
        """Report that the pieces read so far have been sent."""
        if self.body.progress is not None:
            self.body.progress(self._position, self.size)

    def close(self) -> None:
        """Close the file, unless the caller opened it."""
        if self.stream is not self.body.content:
            self.stream.close()


@dataclass(frozen=True, slots=True)
class FileBody:
    """A request body with a file."""

    name: str
    content: Path | bytes | BinaryIO = field(repr=False)
    progress: Progress | None = None
    start: int | None = None
    """Where an open file is read from; None if it can be read only once."""
    form: Form | None = None
    """The form around the file; without one, the file is the body."""

    @property
    def media_type(self) -> str:
        """Media type of the body."""
        return "application/octet-stream" if self.form is None else self.form.media_type

    @property
    def rereadable(self) -> bool:
        """Whether it can be read a second time."""
        return isinstance(self.content, (Path, bytes)) or self.start is not None

    def open(self) -> FileReader:
        """Start to read from the beginning; raise OSError if the file cannot be opened."""
        if isinstance(self.content, bytes):
            return FileReader(self, io.BytesIO(self.content), len(self.content))
        if isinstance(self.content, Path):
            stream = self.content.open("rb")
            return FileReader(self, stream, os.fstat(stream.fileno()).st_size)
        if self.start is None:
            return FileReader(self, self.content, None)
        size = self.content.seek(0, io.SEEK_END) - self.start
        self.content.seek(self.start)
        return FileReader(self, self.content, size)


def file_body(file: File, progress: Progress | None = None) -> FileBody:
    """Return the body of a file, with its name if it has one; raise TypeError if it is not a file."""
    if isinstance(file, tuple):
        name, content = file
        unnamed = file_body(content, progress)
        return FileBody(name, unnamed.content, progress, unnamed.start)
    if isinstance(file, (str, os.PathLike)):
        return FileBody(Path(file).name, Path(file), progress)
    if isinstance(file, (bytes, bytearray, memoryview)):
        return FileBody("", bytes(file), progress)
    if not callable(getattr(file, "read", None)) or isinstance(file, io.TextIOBase):
        raise TypeError(f"file: expected a path, bytes or a file opened in binary mode, but received {file!r}")
    named = getattr(file, "name", "")
    start = file.tell() if file.seekable() else None
    return FileBody(Path(named).name if isinstance(named, str) else "", file, progress, start)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file under another name and rename it at the end; after an error nothing is left."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
