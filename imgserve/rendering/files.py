"""The files of a job, which the server opens, and a rendering process receives as descriptors."""

import contextlib
import logging
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from imgserve.errors import ImageNotFound, OriginalChanged
from imgserve.originals.folder import reading_original
from imgserve.rendering.wire import Answer, Inspected, InspectJob, MarkFile, Rendered, RenderJob, Stored

_logger = logging.getLogger("imgserve.render")
_ORIGINAL, _MEZZANINE, _STORE, _MARK = b"o", b"m", b"s", b"w"
_MOST = 3 + 16
"""Files of a job: a conversion has at most 16 steps, each with a mark."""


@dataclass(slots=True)
class JobFiles:
    """Descriptors, closed with this object."""

    original: int = -1
    mezzanine: int = -1
    """To start from; -1: there is none."""
    store: int = -1
    """To write a mezzanine to; -1: none is made."""
    marks: list[int] = field(default_factory=list)
    """In the order of the job."""

    def close(self) -> None:
        """Close all."""
        for _, descriptor in self._lettered():
            os.close(descriptor)
        self.original = self.mezzanine = self.store = -1
        self.marks = []

    def __enter__(self) -> Self:
        """Return the files, closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all."""
        self.close()

    def __del__(self) -> None:
        """Close what a thread opened for a job that was given up meanwhile."""
        self.close()

    def send(self, channel: socket.socket) -> None:
        """Send all to the other end of a socket."""
        files = self._lettered()
        socket.send_fds(channel, [b"".join(letter for letter, _ in files)], [descriptor for _, descriptor in files])

    @classmethod
    def receive(cls, channel: socket.socket) -> "JobFiles":
        """Return the files that `send` sent."""
        letters, descriptors, _, _ = socket.recv_fds(channel, _MOST, _MOST)
        files = [(letters[at : at + 1], descriptor) for at, descriptor in enumerate(descriptors)]
        original, mezzanine, store = (dict(files).get(letter, -1) for letter in (_ORIGINAL, _MEZZANINE, _STORE))
        return cls(original, mezzanine, store, [descriptor for letter, descriptor in files if letter == _MARK])

    def _lettered(self) -> list[tuple[bytes, int]]:
        files = [(_ORIGINAL, self.original), (_MEZZANINE, self.mezzanine), (_STORE, self.store)]
        files += [(_MARK, descriptor) for descriptor in self.marks]
        return [(letter, descriptor) for letter, descriptor in files if descriptor >= 0]


def open_files(job: RenderJob | InspectJob) -> JobFiles:
    """Open the files of a job; without the mezzanine that cannot be opened, the original is used.

    Raises ImageNotFound or Unavailable if the original does not exist, or cannot be read now.
    """
    files = JobFiles()
    with reading_original(job.path) as original:
        files.original = os.dup(original.fileno())
    if isinstance(job, RenderJob):
        if job.mezzanine is not None and job.transform is not None:
            files.mezzanine = _open_mezzanine(job.mezzanine)
        files.marks = [_open_mark(mark) for mark in job.marks]
    if job.store is not None:
        files.store = _create(job.store)
    return files


def _open_mark(mark: MarkFile) -> int:
    """Open the file of a mark; raise OriginalChanged if it is gone."""
    try:
        with reading_original(mark.path) as file:
            return os.dup(file.fileno())
    except ImageNotFound as error:
        raise mark_changed(mark) from error


def mark_changed(mark: MarkFile) -> OriginalChanged:
    """Return the error for a mark that is not what it was when it was located."""
    return OriginalChanged(
        "The mark was replaced while it was read; retry.", retry_after=1, members={"mark": mark.image_id}
    )


def _open_mezzanine(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1  # evicted or purged meanwhile
    except OSError as error:
        _logger.warning("a mezzanine cannot be opened, its original is used: %s", error)
        return -1


def _create(path: Path) -> int:
    """Create a file to write a mezzanine to; without one, none is made."""
    try:
        # A process that died may have left it.
        path.unlink(missing_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        _logger.warning("a mezzanine could not be written: %s", error)
        return -1


def leftovers(job: RenderJob | InspectJob, answer: Answer | None) -> list[Path]:
    """Return the files to remove: a mezzanine that the answer calls broken, and one that is not being written."""
    storing = isinstance(answer, Rendered | Inspected) and answer.storing
    written = storing or (isinstance(answer, Stored) and answer.size > 0)
    broken = job.mezzanine if isinstance(job, RenderJob) and isinstance(answer, Rendered) and answer.broken else None
    return [path for path in (broken, None if written else job.store) if path is not None]


def remove(path: Path) -> None:
    """Remove a file; one that cannot be removed is left to the cache."""
    with contextlib.suppress(OSError):
        path.unlink()
