"""Image ids, and the folders of originals in which they are paths: looked up, listed and read."""

import builtins
import contextlib
import errno
import io
import itertools
import os
import stat
import time
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagesize

from imgserve.errors import ImageNotFound, OriginalDenied, OriginalUnsettled, Unavailable, UnsupportedImage
from imgserve.formats import BY_EXTENSION, HEAD_BYTES, Format, identify
from imgserve.model import Original, file_version


def parts_of(image_id: str) -> tuple[str, ...] | None:
    """Return the names of the folders and the file of an id; None if it is hidden or not below a folder."""
    parts = tuple(image_id.split("/"))
    if "\0" in image_id or any(not part or part.startswith(".") for part in parts):
        return None
    return parts


def spellings(text: str) -> tuple[str, ...]:
    """Return a text and its equivalents in composed and decomposed characters (Unicode NFC and NFD), each once."""
    if text.isascii():
        return (text,)
    return tuple(dict.fromkeys((text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD")))))


def names_of_stem(stem: str) -> list[str]:
    """Return the names that image files of a stem may have, in the order of the formats."""
    endings = [ending for extension in BY_EXTENSION for ending in (extension, extension.upper())]
    return [f"{spelling}.{ending}" for ending in endings for spelling in spellings(stem)]


FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DENIED = {errno.EACCES, errno.EPERM}
_ABSENT = {errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.ENXIO}
"""Errors that mean that there is no such file; others (no descriptors, a failing disk) may pass."""


@contextlib.contextmanager
def reading_original(path: str) -> Iterator[io.BufferedReader]:
    """Open a regular file for reading, without following a new link or blocking on a named pipe.

    Raises:
        ImageNotFound: absent, or not a regular file.
        OriginalDenied: not allowed.
        Unavailable: it may exist, but cannot be read now.
    """
    with translated_errors():
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ImageNotFound
        with os.fdopen(descriptor, "rb") as file:
            yield file


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Raise an error of the system inside as one of the original."""
    try:
        yield
    except OSError as error:
        raise _translated(error) from error


def _resolved(path: str) -> str:
    """Return a path with all links followed; raise ImageNotFound for an invalid one, or Unavailable."""
    try:
        return os.path.realpath(path)
    except ValueError as error:
        raise ImageNotFound from error
    except OSError as error:
        raise _translated(error) from error


def _translated(error: OSError) -> ImageNotFound | Unavailable:
    if error.errno in _DENIED:
        return OriginalDenied()
    if error.errno in _ABSENT:
        return ImageNotFound()
    return Unavailable("The original cannot be read right now.", retry_after=1)


@dataclass(frozen=True, slots=True)
class Root:
    """A folder of originals."""

    path: str
    """Resolved, without a trailing slash; empty for the root of the file system."""
    follow_links: bool = True
    """Whether links to targets inside the folder are followed."""

    @classmethod
    def at(cls, folder: Path, *, follow_links: bool) -> "Root":
        """Return the root for a folder, which may be a link."""
        return cls(os.path.realpath(folder).rstrip("/"), follow_links)

    def path_of(self, image_id: str) -> str:
        """Return the path of an image id, strictly below the root.

        Raises ImageNotFound for an id that is empty, hidden, climbing or absolute, and for a link that leads outside.
        """
        parts = parts_of(image_id)
        inside = None if parts is None else self.inside(parts)
        if not inside:
            raise ImageNotFound
        return "/".join((self.path, *inside))

    def folder_path(self, parts: Sequence[str]) -> str:
        """Return the path of a folder, without a trailing slash; no parts mean the root. Raises as `path_of` does."""
        if not parts:
            return self.path or "/"
        return self.path_of("/".join(parts))

    def inside(self, parts: Sequence[str]) -> Sequence[str] | None:
        """Return the parts with all links followed; None if they are outside or hidden."""
        requested = "/".join((self.path, *parts))
        path = _resolved(requested)
        if path == requested:
            return parts
        if not self.follow_links or not f"{path}/".startswith(f"{self.path}/"):
            return None
        inside = [part for part in path[len(self.path) :].split("/") if part]
        return None if any(part.startswith(".") for part in inside) else inside


_SIZE_BYTES = 256 * 1024
_ORIENTED = ("jpg", "png", "webp", "tiff")
"""Formats whose pixels are stored as EXIF says; the decoders of others turn them."""
_LISTED_NAMES = 500
"""Listing so many names takes 0.25 ms, and 100,000 names 120 ms; 28 lookups in an open folder take 0.05 ms."""


class Originals:
    """The files of a folder, and of others that are mounted at prefixes; image ids are their relative paths.

    An id below a prefix is a file of the mounted folder, and never one of the main folder. All methods block, so they
    belong in a thread.
    """

    def __init__(
        self,
        folder: Path,
        mounts: Mapping[str, Path] | None = None,
        *,
        settle: float = 2.0,
        follow_links: bool = True,
        refused: Collection[str] = (),
    ) -> None:
        """Serve the files below a folder.

        Args:
            folder: the main folder.
            mounts: further folders by prefix, without a trailing slash; the longest prefix that matches decides.
            settle: age in seconds below which a file may still be written.
            follow_links: whether links to targets inside a folder are followed.
            refused: names of formats that are not served.
        """
        self._root = Root.at(folder, follow_links=follow_links)
        by_length = sorted((mounts or {}).items(), key=lambda mount: -len(mount[0]))
        self._roots = {f"{prefix}/": Root.at(path, follow_links=follow_links) for prefix, path in by_length}
        self._roots[""] = self._root
        self._settle = settle
        self._refused = refused

    def stat(self, image_id: str, known: Original | None = None) -> Original:
        """Return an original as it is now; if `known` is unchanged, its header is not read again.

        A name that differs from that of the file only in Unicode normalization finds it. The result has the id of the
        file.

        Raises:
            ImageNotFound: absent, hidden, outside, or not a regular file.
            UnsupportedImage: present, but not in a format that imgserve reads.
            OriginalUnsettled: present, young, and not yet recognizable.
        """
        try:
            return self._stat(image_id, known)
        except ImageNotFound:
            respelled = self._respelled(image_id)
            if respelled == image_id:
                raise
            return self._stat(respelled, known)

    def _stat(self, image_id: str, known: Original | None) -> Original:
        prefix = self._prefix(image_id)
        path = self._roots[prefix].path_of(image_id.removeprefix(prefix))
        with reading_original(path) as file:
            state = os.fstat(file.fileno())
            version = file_version(state.st_mtime_ns, state.st_size)
            if known is not None and known.file_version == version and known.path == path:
                return known
            try:
                found = identify(file.read(HEAD_BYTES))
            except UnsupportedImage as error:
                young = abs(time.time() - state.st_mtime_ns / 1e9) < self._settle
                raise OriginalUnsettled(retry_after=2) if young else error from None
            if found.name in self._refused:
                raise UnsupportedImage(f"This server does not serve {found.name} originals.")
            width, height, orientation = _size(file, found)
        return Original(
            image_id, version, state.st_size, state.st_mtime_ns, found, width, height, path, orientation=orientation
        )

    def find_stem(self, stem: str) -> builtins.list[str]:
        """Return the ids of the files named `stem`, a dot and the extension of an image format.

        The extension is in lower or in upper case. The order is that of the formats, so that the first one is
        preferred. An id may be listed although `stat` then finds no original there.

        Raises:
            ImageNotFound: the name is hidden, or the folder is outside.
            Unavailable: the folder cannot be read now.
        """
        prefix = self._prefix(stem)
        parts = parts_of(stem.removeprefix(prefix))
        if parts is None:
            raise ImageNotFound
        *above, start = parts
        if not stem.isascii():
            folder = self._respelled(prefix + "/".join(above)).removeprefix(prefix)
            above = folder.split("/") if folder else []
        present = _present(self._roots[prefix].folder_path(above), names_of_stem(start))
        return [prefix + "/".join((*above, name)) for name in present]

    def readable(self) -> bool:
        """Return whether the main folder can be listed: without one of the others the rest is still served."""
        return os.access(self._root.path or "/", os.R_OK | os.X_OK)

    def list(self) -> Iterator[str]:
        """Iterate over the image ids, folder by folder in the order of names.

        The extension decides, because this should not open every file.
        """
        for prefix in sorted(self._roots):
            top = self._roots[prefix].path or "/"
            for folder, folders, files in os.walk(top):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(files):
                    if not name.startswith(".") and name.rpartition(".")[2].lower() in BY_EXTENSION:
                        image_id = prefix + os.path.relpath(f"{folder}/{name}", top)
                        if self._prefix(image_id) == prefix:
                            yield image_id

    def _respelled(self, image_id: str) -> str:
        """Return an id with each part spelled as the file or folder that exists, or the id itself."""
        prefix = self._prefix(image_id)
        parts = None if image_id.isascii() else parts_of(image_id.removeprefix(prefix))
        path, found = self._roots[prefix].path, list[str]()
        for part in parts or ():
            present = (spelling for spelling in spellings(part) if os.path.lexists(f"{path}/{spelling}"))
            found.append(next(present, part))
            path = f"{path}/{found[-1]}"
        return prefix + "/".join(found) if found else image_id

    def _prefix(self, image_id: str) -> str:
        """Return the prefix that decides, with a trailing slash; empty for the main folder."""
        return next(prefix for prefix in self._roots if image_id.startswith(prefix))


def _present(folder: str, names: Sequence[str]) -> Sequence[str]:
    """Return those names that a folder contains: one listing, or one lookup for each name where the folder is large."""
    try:
        with os.scandir(folder) as entries:
            listed = {entry.name for entry in itertools.islice(entries, _LISTED_NAMES + 1)}
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:  # not listable, which says nothing about the files in it
        return names
    if len(listed) > _LISTED_NAMES:
        return [name for name in names if os.path.lexists(f"{folder}/{name}")]
    return [name for name in names if name in listed]


def _size(file: io.BufferedReader, found: Format) -> tuple[int, int, int]:
    """Return stored size and orientation from the header; 0 x 0 if it is not there, so that nothing depends on it."""
    if found.name == "svg":
        return 0, 0, 1
    file.seek(0)
    # A bounded piece: the parser is plain Python, and a hostile file could keep it busy for long.
    head = io.BytesIO(file.read(_SIZE_BYTES))
    try:
        oriented = found.name in _ORIENTED
        info = imagesize.get_info(head, dpi=False, colors=False, channels=False, exif_rotation=not oriented)
    except Exception:  # noqa: BLE001  a parser of hostile bytes: after any error the size is unknown
        return 0, 0, 1
    if info.width <= 0 or info.height <= 0:
        return 0, 0, 1
    return info.width, info.height, info.rotation if oriented and info.rotation in range(1, 9) else 1
