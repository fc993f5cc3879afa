"""A walk over all files below a root, in the order of their ids, without opening any."""

import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from imgserve.errors import ImgserveError
from imgserve.model import file_version
from imgserve.originals.base import Walk, Walked
from imgserve.originals.root import Root

_logger = logging.getLogger(__name__)

_GONE = (FileNotFoundError, NotADirectoryError)
"""Deleted or replaced while the walk was elsewhere."""


def walk(root: Root, below: str = "") -> Walk:
    """Start a walk, below a folder by its id or below all; folders are read as it comes to them."""
    return Walk(lambda missed: _Walking(root, missed).files(f"{below}/" if below else ""))


@dataclass(frozen=True, slots=True)
class _Walking:
    root: Root
    missed: list[str]
    """What could not be read, as beginnings of ids."""
    _listings: list[tuple[str, Iterator[str]]] = field(default_factory=list)
    """The folders around the walker, each with what is left of it."""

    def files(self, below: str) -> Iterator[Walked]:
        """Meet every file; folders behind links are left out, so that no link can lead in circles."""
        root = self._root_identity()
        self._enter(below)
        while self._listings:
            prefix, names = self._listings[-1]
            for name in names:
                image_id = prefix + name
                if name.endswith("/"):
                    self._enter(image_id)
                    break
                if found := self._file(image_id):
                    yield found
            else:
                self._listings.pop()
        # A disk that was unmounted on the way looks like folders that were deleted.
        if root != self._root_identity():
            self._miss("", "it was another folder before")

    def _root_identity(self) -> tuple[int, int] | None:
        try:
            state = os.lstat(self.root.path or "/")
        except OSError:
            return None
        return state.st_dev, state.st_ino

    def _enter(self, prefix: str) -> None:
        try:
            names = _names(f"{self.root.path}/{prefix}".rstrip("/") or "/")
        except OSError as error:
            # Without its root a walk has seen nothing, and nothing is not the same as an empty folder.
            if prefix and isinstance(error, _GONE):
                return
            self._miss(prefix, str(error.strerror))
        else:
            self._listings.append((prefix, iter(names)))

    def _file(self, image_id: str) -> Walked | None:
        try:
            state = os.lstat(f"{self.root.path}/{image_id}")
            if stat.S_ISLNK(state.st_mode):
                state = os.lstat(self.root.path_of(image_id))
        except _GONE:
            return None
        except OSError as error:
            self._miss(image_id, str(error.strerror))
            return None
        except ImgserveError:  # a link that leads elsewhere, or nowhere
            return None
        if not stat.S_ISREG(state.st_mode):
            return None
        version = file_version(state.st_mtime_ns, state.st_size)
        return Walked(image_id, version, state.st_size, state.st_mtime_ns)

    def _miss(self, prefix: str, reason: str) -> None:
        self.missed.append(prefix)
        _logger.warning("%s in the folder of originals cannot be read: %s", ascii(prefix) if prefix else "all", reason)


def _names(path: str) -> list[str]:
    """List what is not hidden, folders with a slash behind, which is how the ids below them sort."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(descriptor) as entries:
            names = (
                f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
                for entry in entries
                if not entry.name.startswith(".")
            )
            # By bytes, as the catalog orders its ids: of names that are not UTF-8 text the order is another one.
            return sorted(names, key=os.fsencode)
    finally:
        os.close(descriptor)
