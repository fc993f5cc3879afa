"""Walk and look up the files of the folders of originals."""

import errno
import logging
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from imgserve.errors import ImgserveError
from imgserve.model import file_version
from imgserve.originals.folder import FOLDER_FLAGS, Root

_logger = logging.getLogger(__name__)
_GONE = (FileNotFoundError, NotADirectoryError)
"""Deleted or replaced during the walk."""


@dataclass(frozen=True, slots=True)
class Walked:
    """A file that a walk has met; it may be any file."""

    image_id: str
    version: str
    """As `Original.file_version`."""


def walk(root: Root, below: str = "") -> Iterator[Walked]:
    """Yield every file below a folder, given by its id, in the order of ids.

    Folders behind links are left out, so that no link can lead in circles. What cannot be read is logged and left out.
    """
    listings = [_listing(root, f"{below}/" if below else "")]
    while listings:
        for image_id in listings[-1]:
            if image_id.endswith("/"):
                listings.append(_listing(root, image_id))
                break
            if found := _file(root, image_id):
                yield found
        else:
            listings.pop()


def _listing(root: Root, prefix: str) -> Iterator[str]:
    """Return the ids in a folder; those of folders have a trailing slash, because the ids below them sort like that."""
    try:
        descriptor = os.open(f"{root.path}/{prefix}".rstrip("/") or "/", FOLDER_FLAGS)
        try:
            with os.scandir(descriptor) as entries:
                names = [
                    f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
                    for entry in entries
                    if not entry.name.startswith(".")
                ]
        finally:
            os.close(descriptor)
    except OSError as error:
        # Without its root a walk has seen nothing, which is not the same as an empty folder.
        if not prefix or not isinstance(error, _GONE):
            _warn(prefix, error)
        return iter(())
    # By bytes, as in the catalog: names that are not UTF-8 text would sort differently as text.
    return (prefix + name for name in sorted(names, key=os.fsencode))


def _file(root: Root, image_id: str) -> Walked | None:
    try:
        state = os.lstat(f"{root.path}/{image_id}")
        if stat.S_ISLNK(state.st_mode):
            state = os.lstat(root.path_of(image_id))
    except _GONE:
        return None
    except OSError as error:
        _warn(image_id, error)
        return None
    except ImgserveError:  # a link that leads outside, or nowhere
        return None
    if not stat.S_ISREG(state.st_mode):
        return None
    return Walked(image_id, file_version(state.st_mtime_ns, state.st_size))


def _warn(prefix: str, error: OSError) -> None:
    place = ascii(prefix) if prefix else "all"
    _logger.warning("%s in the folder of originals cannot be read: %s", place, error.strerror)


_GONE_ERRNOS = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Errors that mean that there is nothing; after others (no permission, a failing disk) there may be a file."""


class Kind(Enum):
    """What an image id points to."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "other"
    """A named pipe, a socket, a device."""
    GONE = "gone"
    UNKNOWN = "unknown"
    """It cannot be read now."""


@dataclass(frozen=True, slots=True)
class Look:
    """What an image id points to at one moment."""

    kind: Kind
    version: str = ""
    """`Original.file_version` of a file."""
    changed_ns: int = 0
    """When bytes, name or attributes of the file last changed; a copied modification time does not change it."""


class OriginalsTree:
    """The main folder, and mounted folders below prefixes.

    A folder has an identity, which differs from that of the mount point of a disk that is not mounted. A file counts as
    gone only while its folder is the remembered one.
    """

    def __init__(self, folders: Mapping[str, Path], *, follow_links: bool = True) -> None:
        """Use folders by the prefix of their ids, without a trailing slash; empty for the main folder."""
        by_length = sorted(folders.items(), key=lambda item: len(item[0]), reverse=True)
        self._roots = {prefix: Root.at(path, follow_links=follow_links) for prefix, path in by_length}
        self._identities = dict[str, tuple[int, int] | None]()
        self.generation = 0
        """How often a folder turned out to be another one; earlier observations are not valid after that."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefix of every folder; the main one's is empty."""
        return tuple(self._roots)

    def prefix_of(self, image_id: str) -> str:
        """Return the prefix of the folder of an id: the longest one that matches."""
        return next((prefix for prefix in self._roots if f"{image_id}/".startswith(f"{prefix}/")), "")

    def path_of(self, image_id: str) -> str:
        """Return the path of an image id, whether it exists or not; links are not followed."""
        prefix = self.prefix_of(image_id)
        inner = image_id.removeprefix(prefix).removeprefix("/")
        return f"{self._roots[prefix].path}/{inner}"

    def ids_of(self, path: str) -> list[str]:
        """Return the image ids of a path; the id of a folder of originals is its prefix. Hidden paths have none."""
        found = list[str]()
        for prefix, root in self._roots.items():
            if path == root.path:
                found.append(prefix)
            elif path.startswith(f"{root.path}/"):
                inner = path[len(root.path) + 1 :]
                image_id = f"{prefix}/{inner}" if prefix else inner
                hidden = inner.startswith(".") or "/." in inner  # as temporary files and the data of programs
                if not hidden and self.prefix_of(image_id) == prefix:
                    found.append(image_id)
        return found

    def look(self, image_id: str) -> Look:
        """Return what an image id points to now."""
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
        """Return whether an image id points to nothing, in a folder that is the remembered one."""
        # The folder is checked last: it may have gone, and everything in it, before the first look.
        if self.look(image_id).kind is not Kind.GONE:
            return False
        prefix = self.prefix_of(image_id)
        remembered = self._identities.get(prefix)
        return remembered is not None and self._identity(prefix) == remembered

    def remember(self) -> list[str]:
        """Remember the present identities of the folders; return the prefixes of those that changed.

        A missing folder is returned once, and again when it is back.
        """
        now = {prefix: self._identity(prefix) for prefix in self._roots}
        changed = [prefix for prefix in now if prefix in self._identities and now[prefix] != self._identities[prefix]]
        self._identities = now
        self.generation += bool(changed)
        return changed

    def missing(self) -> list[str]:
        """Return the prefixes of folders that did not exist when they were last remembered."""
        return [prefix for prefix, identity in self._identities.items() if identity is None]

    def walk(self, folder: str) -> Iterator[Walked]:
        """Walk the files below a folder, by its id, in the order of ids, but not those of folders mounted there."""
        prefix = self.prefix_of(folder)
        for file in walk(self._roots[prefix], folder.removeprefix(prefix).removeprefix("/")):
            image_id = f"{prefix}/{file.image_id}" if prefix else file.image_id
            if self.prefix_of(image_id) == prefix:
                yield Walked(image_id, file.version)

    def folders(self, starts: Iterable[str]) -> list[str]:
        """Return the paths of these folders, given by their ids, and of all readable ones below them."""
        found, left = dict[str, None](), [self.path_of(folder).rstrip("/") or "/" for folder in starts]
        while left:
            path = left.pop()
            # watchfiles accepts only UTF-8 text, so files below other folders are left to scans.
            if path in found or not os.access(path, os.R_OK | os.X_OK) or any("\ud800" <= c <= "\udfff" for c in path):
                continue
            try:
                with os.scandir(path) as entries:
                    left += [
                        entry.path
                        for entry in entries
                        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
                    ]
            except OSError:
                continue  # gone, or not a folder any more
            found[path] = None
        return list(found)

    def _identity(self, prefix: str) -> tuple[int, int] | None:
        try:
            state = os.stat(self._roots[prefix].path or "/")  # noqa: PTH116  hot
        except OSError:
            return None
        return (state.st_dev, state.st_ino) if stat.S_ISDIR(state.st_mode) else None
