"""The files of a job, opened by the server and passed to a rendering process, which opens none itself."""

import contextlib
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from imgserve.originals.folder import reading_original
from imgserve.rendering.wire import Answer, InspectJob, Rendered, RenderJob, Stored

_logger = logging.getLogger("imgserve.render")
_ORIGINAL, _MEZZANINE, _STORE = b"o", b"m", b"s"
_MOST = 3


@dataclass(slots=True)
class JobFiles:
    """Descriptors, closed with this object."""

    original: int = -1
    mezzanine: int = -1
    """To start from; -1: there is none."""
    store: int = -1
    """To write a mezzanine to; -1: none is made."""

    def close(self) -> None:
        """Close all."""
        for descriptor in self._by_letter().values():
            os.close(descriptor)
        self.original = self.mezzanine = self.store = -1

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
        files = self._by_letter()
        socket.send_fds(channel, [b"".join(files)], list(files.values()))

    @classmethod
    def receive(cls, channel: socket.socket) -> "JobFiles":
        """Return the files that `send` sent."""
        letters, descriptors, _, _ = socket.recv_fds(channel, _MOST, _MOST)
        found = {letters[at : at + 1]: descriptor for at, descriptor in enumerate(descriptors)}
        return cls(*(found.get(letter, -1) for letter in (_ORIGINAL, _MEZZANINE, _STORE)))

    def _by_letter(self) -> dict[bytes, int]:
        files = {_ORIGINAL: self.original, _MEZZANINE: self.mezzanine, _STORE: self.store}
        return {letter: descriptor for letter, descriptor in files.items() if descriptor >= 0}


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
        if job.store is not None:
            files.store = _create(job.store)
    return files


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
    if not isinstance(job, RenderJob):
        return []
    rendered = answer if isinstance(answer, Rendered) else None
    written = rendered.storing if rendered else isinstance(answer, Stored) and answer.size > 0
    files = ((job.mezzanine, rendered is not None and rendered.broken), (job.store, not written))
    return [path for path, is_left in files if path is not None and is_left]


def remove(path: Path) -> None:
    """Remove a file; one that cannot be removed is left to the cache."""
    with contextlib.suppress(OSError):
        path.unlink()
