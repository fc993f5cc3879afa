"""Files that come in: written where nobody sees them, then given their place or dropped."""

import contextlib
import os
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from imgserve.model import file_version
from imgserve.originals.claims import claim, hold_abandoned
from imgserve.originals.faults import writing
from imgserve.originals.root import OWN, Root, names_in

_FOLDER = "incoming"


class Incoming:
    """A new file that nobody sees yet, written by one thread at a time; as a context it drops what was not placed."""

    def __init__(self, path: Path, folder: int, descriptor: int) -> None:
        """Take the file, held by a claim, and a descriptor of its folder; both descriptors are closed here."""
        self.path = path
        """Where it can be read meanwhile."""
        self.folder = folder
        self._descriptor = descriptor
        self._whole = False
        self._over = False

    @property
    def version(self) -> str:
        """File version, as it will be in its place unless one of the same is there."""
        state = os.fstat(self._descriptor)
        return file_version(state.st_mtime_ns, state.st_size)

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            StorageFull, ReadOnlyOriginals, Unavailable: they could not be written.
        """
        if self._whole:
            raise ValueError("this file is closed")
        with writing():
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        """Bring all that was written to the disk; nothing more is taken."""
        if not self._whole:
            with writing():
                os.fsync(self._descriptor)
            self._whole = True

    def differ(self, version: str) -> None:
        """Make the file version another one than this, by the least that the file system tells apart."""
        moment = os.fstat(self._descriptor).st_mtime_ns
        # File systems keep nanoseconds, hundreds of them, microseconds, seconds or every second one.
        for step in (1, 100, 1000, 10**9, 2 * 10**9):
            if self.version != version:
                return
            os.utime(self._descriptor, ns=(moment + step, moment + step))
            os.fsync(self._descriptor)

    def placed(self) -> None:
        """Let go of the file, which has another name now."""
        if not self._over:
            self._over = self._whole = True
            os.close(self._descriptor)
            os.close(self.folder)

    def drop(self) -> None:
        """Delete the file, unless it was placed or dropped."""
        if self._over:
            return
        try:
            with writing(), contextlib.suppress(FileNotFoundError):
                os.unlink(self.path.name, dir_fd=self.folder)
        finally:
            self.placed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.drop()


def open_incoming(root: Root) -> Incoming:
    """Open a new file below a root.

    Raises:
        StorageFull, ReadOnlyOriginals, Unavailable: there can be none.
    """
    with writing(), root.own(_FOLDER, make=True) as folder:
        descriptor = None
        while descriptor is None:
            name = f"{time.time_ns():x}-{secrets.token_hex(6)}"
            descriptor = claim(folder, name)
        return Incoming(Path(f"{root.path}/{OWN}/{_FOLDER}/{name}"), os.dup(folder), descriptor)


def sweep_incoming(root: Root) -> int:
    """Delete what nobody is writing any more; tell how many."""
    with writing(), contextlib.suppress(FileNotFoundError), root.own(_FOLDER, make=False) as folder:
        return sum(_swept(folder, name) for name in names_in(folder))
    return 0


def _swept(folder: int, name: str) -> bool:
    descriptor = hold_abandoned(folder, name)
    if descriptor is None:
        return False
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    finally:
        os.close(descriptor)
    return True
