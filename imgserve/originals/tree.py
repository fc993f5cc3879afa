"""What lies in the folders of originals now, as files, folders and nothing, for whoever compares it with records.

Nothing is opened here but folders.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from imgserve.model import file_version

_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
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


@dataclass(frozen=True, slots=True)
class Found:
    """A file met on a walk."""

    image_id: str
    version: str


class OriginalsTree:
    """The main folder, and further ones each below a prefix of its own. Blocking: it belongs in a thread.

    A folder has an identity, which a disk that is not mounted lacks. What is gone counts as gone only while the folder
    is the one that was remembered.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """Take folders by the prefix of their ids: nothing for the main one, else without a slash."""
        self._roots = {prefix: os.path.realpath(path).rstrip("/") for prefix, path in folders.items()}
        # The innermost first, so that a folder inside another one is found by its own prefix.
        self._by_path = sorted(((path, prefix) for prefix, path in self._roots.items()), key=_length, reverse=True)
        self._identities = dict[str, tuple[int, int] | None]()

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefix of every folder; the main one's is empty."""
        return tuple(self._roots)

    def prefix_of(self, image_id: str) -> str:
        """Tell in which folder an id lies."""
        outer = image_id.partition("/")[0]
        return outer if outer in self._roots else ""

    def path_of(self, image_id: str) -> str:
        """Tell where the file of an image id lies, if it lies anywhere."""
        prefix = self.prefix_of(image_id)
        inner = image_id.removeprefix(prefix).removeprefix("/")
        return f"{self._roots[prefix]}/{inner}" if inner else self._roots[prefix]

    def id_of(self, path: str) -> str | None:
        """Tell the image id of a path; that of a folder itself is its prefix; None for what is hidden or outside."""
        for root, prefix in self._by_path:
            if path == root:
                return prefix
            if path.startswith(root + "/"):
                inner = path[len(root) + 1 :]
                shown = not hidden(inner) and (prefix or inner.partition("/")[0] not in self._roots)
                return _joined(prefix, inner) if shown else None
        return None

    def look(self, image_id: str) -> Look:
        """Look at what lies there now."""
        try:
            state = os.stat(self.path_of(image_id))  # noqa: PTH116  called for every file, and Path is far slower
        except OSError as error:
            return Look(Kind.GONE if error.errno in _GONE else Kind.UNKNOWN)
        except ValueError:
            return Look(Kind.GONE)
        if stat.S_ISDIR(state.st_mode):
            return Look(Kind.FOLDER)
        if not stat.S_ISREG(state.st_mode):
            return Look(Kind.OTHER)
        return Look(Kind.FILE, file_version(state.st_mtime_ns, state.st_size), state.st_ctime_ns)

    def is_gone(self, image_id: str) -> bool:
        """Tell whether nothing lies there, in a folder that is the one remembered."""
        prefix = self.prefix_of(image_id)
        # The folder is looked at last: it may have gone, and everything in it, after the first look.
        gone = self.look(image_id).kind is Kind.GONE
        return gone and self._identities.get(prefix) is not None and self._identity(prefix) == self._identities[prefix]

    def remember(self) -> list[str]:
        """Take the folders as they are now for the right ones; tell the prefixes of those that are others than before.

        One that is missing now is told once, and again when it is back.
        """
        now = {prefix: self._identity(prefix) for prefix in self._roots}
        changed = [prefix for prefix in now if prefix in self._identities and now[prefix] != self._identities[prefix]]
        self._identities = now
        return changed

    def missing(self) -> list[str]:
        """Tell the prefixes of folders that were not there when they were last remembered."""
        return [prefix for prefix, identity in self._identities.items() if identity is None]

    def walk(self, folder: str = "") -> Iterator[Found]:
        """Walk the files below a folder, by its id, in the order of the bytes of their ids; not the folders of others.

        A folder that cannot be read is passed over, which says nothing of what lies in it.
        """
        for entry, image_id in self._entries(folder):
            if entry.is_dir(follow_symlinks=False):
                yield from self.walk(image_id)
                continue
            try:
                state = entry.stat()
            except OSError:
                continue  # gone since, or a link to nowhere
            if stat.S_ISREG(state.st_mode):
                yield Found(image_id, file_version(state.st_mtime_ns, state.st_size))

    def folders(self, starts: Iterable[str]) -> list[str]:
        """List the paths of these folders, by their ids, and of all below them; those that can be read now."""
        found, left = dict[str, None](), list(starts)
        while left:
            folder = left.pop()
            path = self.path_of(folder)
            if path not in found and os.access(path, os.R_OK | os.X_OK) and os.path.isdir(path):  # noqa: PTH112  hot
                found[path] = None
                left += [inner for entry, inner in self._entries(folder) if entry.is_dir(follow_symlinks=False)]
        return list(found)

    def _entries(self, folder: str) -> list[tuple[os.DirEntry[str], str]]:
        """List a folder so that walking it gives ids in order: a folder `a` comes as `a/`, after `a.jpg`."""
        try:
            with os.scandir(self.path_of(folder)) as entries:
                shown = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError:
            return []
        if not folder:
            shown = [entry for entry in shown if entry.name not in self._roots]
        shown.sort(key=lambda entry: os.fsencode(entry.name + "/" * entry.is_dir(follow_symlinks=False)))
        return [(entry, _joined(folder, entry.name)) for entry in shown]

    def _identity(self, prefix: str) -> tuple[int, int] | None:
        try:
            state = os.stat(self._roots[prefix] or "/")  # noqa: PTH116  hot
        except OSError:
            return None
        return (state.st_dev, state.st_ino) if stat.S_ISDIR(state.st_mode) else None


def hidden(image_id: str) -> bool:
    """Tell whether a part of an id begins with a dot, as of a temporary file or the data of a program."""
    return image_id.startswith(".") or "/." in image_id


def order(image_id: str) -> bytes:
    """Give what ids are ordered by, in a walk as in a catalog."""
    return image_id.encode("utf-8", "surrogateescape")


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _length(item: tuple[str, str]) -> int:
    return len(item[0])
