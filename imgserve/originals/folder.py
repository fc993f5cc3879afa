"""Image ids, and the folders of originals in which they are paths."""

import builtins
import contextlib
import io
import itertools
import os
import time
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagesize

from imgserve.errors import BadImageId, ImageExists, ImageNotFound, OriginalUnsettled, UnsupportedImage
from imgserve.formats import BY_EXTENSION, HEAD_BYTES, Format, identify
from imgserve.model import Original, file_version
from imgserve.original_file import reading_original, resolve


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


OWN = ".imgserve"
"""The folder of imgserve in a folder of originals: hidden, so never served, and on the same file system."""
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ATTEMPTS = 20
"""Another process may remove an empty folder between its opening and its use."""


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """A folder below the root, and those above it, as open descriptors."""

    descriptors: Sequence[int]
    """Of the root, then one for each part."""
    parts: Sequence[str]

    @property
    def descriptor(self) -> int:
        """The folder itself."""
        return self.descriptors[-1]

    def prune(self, first: int = 0) -> None:
        """Remove the empty ones among the folder and those above it, up to the `first` part; never the root."""
        for depth in reversed(range(first, len(self.parts))):
            # A folder that is not empty, a mount or not writable stays.
            try:
                os.rmdir(self.parts[depth], dir_fd=self.descriptors[depth])
            except FileNotFoundError:
                continue
            except OSError:
                return


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

        Raises:
            ImageNotFound: the id is empty, hidden, climbing or absolute, or a link leads outside.
        """
        parts = parts_of(image_id)
        inside = None if parts is None else self._inside(parts)
        if not inside:
            raise ImageNotFound
        return "/".join((self.path, *inside))

    def folder_path(self, parts: Sequence[str]) -> str:
        """Return the path of a folder below the root, without a trailing slash; no parts mean the root.

        Raises:
            ImageNotFound: as for `path_of`.
        """
        if not parts:
            return self.path or "/"
        return self.path_of("/".join(parts))

    def _inside(self, parts: Sequence[str]) -> Sequence[str] | None:
        """Return the parts with all links followed; None if they are outside or hidden."""
        requested = "/".join((self.path, *parts))
        path = resolve(requested)
        if path == requested:
            return parts
        if not self.follow_links or not f"{path}/".startswith(f"{self.path}/"):
            return None
        inside = [part for part in path[len(self.path) :].split("/") if part]
        return None if any(part.startswith(".") for part in inside) else inside

    @contextlib.contextmanager
    def folder(self, parts: Sequence[str], *, make: bool) -> Iterator[OpenFolder]:
        """Open a folder below the root. Folders that were made are removed if the block fails.

        Raises:
            BadImageId: a link leads outside.
            FileNotFoundError, NotADirectoryError: it does not exist, or is a file.
        """
        inside = self._inside(parts)
        if inside is None:
            raise BadImageId("No image can have this id: a link in it leads out of the folder of originals.")
        with contextlib.ExitStack() as opened:
            descriptors = [_opened(opened, self.path or "/")]
            first_made = len(inside)
            try:
                for depth, part in enumerate(inside):
                    if make and _made(part, descriptors[-1]):
                        first_made = min(first_made, depth)
                    descriptors.append(_opened(opened, part, descriptors[-1]))
                yield OpenFolder(descriptors, inside)
            except BaseException:
                reached = inside[: len(descriptors)]  # the last one may be made, but not opened
                OpenFolder(descriptors, reached).prune(first_made)
                raise

    @contextlib.contextmanager
    def own(self, name: str, *, make: bool) -> Iterator[int]:
        """Open a folder of imgserve, which other accounts cannot read.

        Raises:
            FileNotFoundError: it does not exist, and `make` is false.
        """
        with contextlib.ExitStack() as opened:
            descriptor = _opened(opened, self.path or "/")
            for part in (OWN, name):
                made = make and _made(part, descriptor, 0o700)
                descriptor = _opened(opened, part, descriptor)
                if made and part == OWN:
                    hide_from_git(Path(self.path, OWN), descriptor)
            yield descriptor

    def put(self, image_id: str, move: Callable[[int, str], None]) -> None:
        """Create the folder of an id, call `move(folder, name)` to move a file into it, and flush the folder.

        Raises:
            ImageExists: a file or folder is in the way.
            BadImageId: a link leads outside.
        """
        *above, name = image_id.split("/")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self.folder(above, make=True) as folder:
                    move(folder.descriptor, name)
                    os.fsync(folder.descriptor)
            except FileNotFoundError:
                if attempt == _ATTEMPTS:
                    raise
            except NotADirectoryError as error:
                raise ImageExists("A part of this id is a file, so nothing can be below it.") from error
            except IsADirectoryError as error:
                raise ImageExists("There is a folder of this name.") from error
            except FileExistsError as error:
                raise ImageExists from error
            else:
                return


def names_in(folder: int) -> list[str]:
    """List an open folder."""
    return os.listdir(folder)


def hide_from_git(folder: Path, descriptor: int) -> None:
    """Write an ignore file into an open folder of imgserve, if the folder is inside a Git working tree."""
    if not any((above / ".git").exists() for above in folder.parents):
        return
    with contextlib.suppress(OSError):  # it is there already, or cannot be written: then Git lists the folder
        ignore = os.open(".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=descriptor)
        with open(ignore, "w", encoding="ascii") as file:  # noqa: PTH123  a descriptor has no path
            file.write("*\n")


def _opened(stack: contextlib.ExitStack, name: str, above: int | None = None) -> int:
    descriptor = os.open(name, FOLDER_FLAGS, dir_fd=above)
    stack.callback(os.close, descriptor)
    return descriptor


def _made(name: str, above: int, mode: int = 0o755) -> bool:
    try:
        os.mkdir(name, mode, dir_fd=above)
    except FileExistsError:
        return False
    os.fsync(above)
    return True


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
        endings = [ending for extension in BY_EXTENSION for ending in (extension, extension.upper())]
        names = [f"{spelling}.{ending}" for ending in endings for spelling in spellings(start)]
        present = _present(self._roots[prefix].folder_path(above), names)
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
