"""What can be uploaded, read piece by piece and, for a second try, from its start again. No HTTP."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from imgserve.client.api.form import Form

File = str | os.PathLike[str] | bytes | BinaryIO | tuple[str, str | os.PathLike[str] | bytes | BinaryIO]
"""A path, bytes, an open binary file, or a name with one of these."""

Progress = Callable[[int, int | None], object]
"""Called with the bytes that are sent and all there are, where that is known; anew from the start at a second try."""

_PIECE = 65_536


@dataclass(slots=True)
class Reading:
    """A file while it is sent."""

    stream: BinaryIO
    size: int | None
    """Bytes from where it began, where they can be told."""
    name: str
    form: Form | None
    _progress: Progress | None
    _ours: bool
    _read: int = 0

    @property
    def length(self) -> int | None:
        """Bytes of all that is sent, where they can be told."""
        if self.form is None or self.size is None:
            return self.size
        return len(self.form.head) + self.size + len(self.form.tail)

    def piece(self) -> bytes:
        """Read on; nothing at the end.

        Raises:
            OSError: it cannot be read, or has become shorter.
        """
        most = _PIECE if self.size is None else min(_PIECE, self.size - self._read)
        data = self.stream.read(most) if most else b""
        self._read += len(data)
        if not data and self.size is not None and self._read < self.size:
            raise OSError(f"{self.name}: became shorter while it was sent")
        return data

    def sent(self) -> None:
        """Tell that what was read has gone."""
        if self._progress is not None:
            self._progress(self._read, self.size)

    def close(self) -> None:
        """Close what was opened here."""
        if self._ours:
            self.stream.close()


@dataclass(frozen=True, slots=True)
class FileBody:
    """A file to send."""

    name: str
    content: Path | bytes | BinaryIO = field(repr=False)
    progress: Progress | None = None
    start: int | None = None
    """Where an open file is read from; None where it can only be read once."""
    form: Form | None = None
    """What it stands in; else it is all of the body."""

    @property
    def media_type(self) -> str:
        """Of the body."""
        return "application/octet-stream" if self.form is None else self.form.media_type

    @property
    def rereadable(self) -> bool:
        """Tell whether it can be read a second time."""
        return isinstance(self.content, (Path, bytes)) or self.start is not None

    def open(self) -> Reading:
        """Begin to read from the start.

        Raises:
            OSError: it cannot be opened.
        """
        if isinstance(self.content, bytes):
            return self._reading(io.BytesIO(self.content), len(self.content), ours=True)
        if isinstance(self.content, Path):
            stream = self.content.open("rb")
            return self._reading(stream, os.fstat(stream.fileno()).st_size, ours=True)
        if self.start is None:
            return self._reading(self.content, None, ours=False)
        size = self.content.seek(0, io.SEEK_END) - self.start
        self.content.seek(self.start)
        return self._reading(self.content, size, ours=False)

    def _reading(self, stream: BinaryIO, size: int | None, *, ours: bool) -> Reading:
        return Reading(stream, size, self.name, self.form, self.progress, ours)


def file_body(file: File, progress: Progress | None = None) -> FileBody:
    """Take what can be uploaded, with the name that it has.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(file, tuple):
        name, content = file
        unnamed = file_body(content, progress)
        return FileBody(name, unnamed.content, progress, unnamed.start)
    if isinstance(file, (str, os.PathLike)):
        path = Path(file)
        return FileBody(path.name, path, progress)
    if isinstance(file, (bytes, bytearray, memoryview)):
        return FileBody("", bytes(file), progress)
    if not _is_binary(file):
        raise TypeError(f"file: expected a path, bytes or a file opened in binary mode, but received {file!r}")
    named = getattr(file, "name", "")
    start = file.tell() if file.seekable() else None
    return FileBody(Path(named).name if isinstance(named, str) else "", file, progress, start)


def _is_binary(file: object) -> bool:
    return callable(getattr(file, "read", None)) and not isinstance(file, io.TextIOBase)
