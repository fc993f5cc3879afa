"""Walk and look up the files of the folders of originals."""

import errno
import logging
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

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
        return Walked(image_id, file_version(state.st_mtime_ns, state.st_size))

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


_GONE_ERRNOS = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""What says that nothing lies there; anything else (no permission, a failing disk) says nothing of it."""


class Kind(Enum):
    """What lies where an image id points to."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "other"
    """A named pipe, a socket, a device."""
    GONE = "gone"
    UNKNOWN = "unknown"
    """It cannot be looked at now."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at what lies where an image id points to."""

    kind: Kind
    version: str = ""
    """`Original.file_version` of a file."""
    changed_ns: int = 0
    """When bytes, name or attributes of the file last changed: copying a modification time does not set it back."""


class OriginalsTree:
    """The main folder, and mounted ones each below a prefix of its own.

    A folder has an identity, which the empty place of a disk that is not mounted does not share. What is gone counts as
    gone only while the folder is the one that was remembered.
    """

    def __init__(self, folders: Mapping[str, Path], *, follow_links: bool = True) -> None:
        """Take folders by the prefix of their ids: nothing for the main one, else without a slash at its end."""
        by_length = sorted(folders.items(), key=lambda item: len(item[0]), reverse=True)
        self._roots = {prefix: Root.at(path, follow_links=follow_links) for prefix, path in by_length}
        self._identities = dict[str, tuple[int, int] | None]()
        self.generation = 0
        """How often a folder turned out to be another one; what was seen before that says nothing any more."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefix of every folder; the main one's is empty."""
        return tuple(self._roots)

    def prefix_of(self, image_id: str) -> str:
        """Tell in which folder an id lies; the longest prefix that fits decides."""
        return next((prefix for prefix in self._roots if f"{image_id}/".startswith(f"{prefix}/")), "")

    def path_of(self, image_id: str) -> str:
        """Tell where the file of an image id lies, if it lies anywhere; links are not followed."""
        prefix = self.prefix_of(image_id)
        inner = image_id.removeprefix(prefix).removeprefix("/")
        return f"{self._roots[prefix].path}/{inner}"

    def ids_of(self, path: str) -> list[str]:
        """Tell the image ids of a path, that of a folder itself being its prefix; none where it is hidden."""
        found = list[str]()
        for prefix, root in self._roots.items():
            if path == root.path:
                found.append(prefix)
            elif path.startswith(f"{root.path}/"):
                inner = path[len(root.path) + 1 :]
                image_id = f"{prefix}/{inner}" if prefix else inner
                if not _hidden(inner) and self.prefix_of(image_id) == prefix:
                    found.append(image_id)
        return found

    def look(self, image_id: str) -> Look:
        """Look at what lies there now."""
        try:
            state = os.stat(self.path_of(image_id))  # noqa: PTH116  called for every file, and Path is far slower
        except OSError as error:
            return Look(Kind.GONE if error.errno in _GONE_ERRNOS else Kind.UNKNOWN)
        if stat.S_ISDIR(state.st_mode):
            return Look(Kind.FOLDER)
        if not stat.S_ISREG(state.st_mode):
            return Look(Kind.OTHER)
        return Look(Kind.FILE, file_version(state.st_mtime_ns, state.st_size), state.st_ctime_ns)

    def is_gone(self, image_id: str) -> bool:
        """Tell whether nothing lies there, in a folder that is the one remembered."""
        # The folder is looked at last: it may have gone, and everything in it, before the first look.
        return self.look(image_id).kind is Kind.GONE and self._is_remembered(self.prefix_of(image_id))

    def remember(self) -> list[str]:
        """Take the folders as they are now for the right ones; tell the prefixes of those that are others than before.

        One that is missing now is told once, and again when it is back.
        """
        now = {prefix: self._identity(prefix) for prefix in self._roots}
        changed = [prefix for prefix in now if prefix in self._identities and now[prefix] != self._identities[prefix]]
        self._identities = now
        self.generation += bool(changed)
        return changed

    def missing(self) -> list[str]:
        """Tell the prefixes of folders that were not there when they were last remembered."""
        return [prefix for prefix, identity in self._identities.items() if identity is None]

    def walk(self, folder: str) -> Iterator[Walked]:
        """Walk the files below a folder, by its id, in the order of ids, but not those of folders mounted there."""
        prefix = self.prefix_of(folder)
        for file in walk(self._roots[prefix], folder.removeprefix(prefix).removeprefix("/")):
            image_id = f"{prefix}/{file.image_id}" if prefix else file.image_id
            if self.prefix_of(image_id) == prefix:
                yield Walked(image_id, file.version)

    def folders(self, starts: Iterable[str]) -> list[str]:
        """List the paths of these folders, by their ids, and of all below them that can be read and named."""
        found, left = dict[str, None](), [self.path_of(folder).rstrip("/") or "/" for folder in starts]
        while left:
            path = left.pop()
            if path in found or not _can_be_named(path) or not os.access(path, os.R_OK | os.X_OK):
                continue
            try:
                with os.scandir(path) as entries:
                    left += [entry.path for entry in entries if _is_folder(entry)]
            except OSError:
                continue  # gone since, or no folder any more
            found[path] = None
        return list(found)

    def _is_remembered(self, prefix: str) -> bool:
        remembered = self._identities.get(prefix)
        return remembered is not None and self._identity(prefix) == remembered

    def _identity(self, prefix: str) -> tuple[int, int] | None:
        try:
            state = os.stat(self._roots[prefix].path or "/")  # noqa: PTH116  hot
        except OSError:
            return None
        return (state.st_dev, state.st_ino) if stat.S_ISDIR(state.st_mode) else None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)


def _can_be_named(path: str) -> bool:
    """Tell whether a path is UTF-8 text: watchfiles takes no other, and what lies there is left to scans."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hidden(inner: str) -> bool:
    """Tell whether a part begins with a dot, as of a temporary file or the data of a program."""
    return inner.startswith(".") or "/." in inner
