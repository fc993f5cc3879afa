"""Originals in a folder."""

import builtins
import io
import itertools
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import imagesize

from imgserve.errors import ImageNotFound, OriginalUnsettled, UnsupportedImage
from imgserve.formats import BY_EXTENSION, HEAD_BYTES, Format, sniff
from imgserve.model import Original, file_version
from imgserve.original_file import reading_original
from imgserve.originals.base import Trashed
from imgserve.originals.incoming import Incoming, open_incoming, place, remove, sweep_incoming
from imgserve.originals.root import Root, check_id, parts_of
from imgserve.originals.trash import Trash

_SIZE_BYTES = 256 * 1024
_LISTED_NAMES = 500
"""Listing so many names takes 0.25 ms, and 100,000 names 120 ms; 28 lookups in an open folder take 0.05 ms."""


class FolderOriginals:
    """The files below one folder; image ids are their relative paths."""

    def __init__(
        self, root: Path, *, settle: float = 2.0, follow_links: bool = True, refused: Collection[str] = ()
    ) -> None:
        """Serve below `root`.

        A file younger than `settle` seconds may still be written; formats named in `refused` are not served.
        """
        self._root = Root.at(root, follow_links=follow_links)
        self._trash = Trash(self._root)
        self._settle = settle
        self._refused = refused

    def stat(self, image_id: str, known: Original | None = None) -> Original:
        """Return an original as it is now."""
        path = self._root.path_of(image_id)
        with reading_original(path) as file:
            state = os.fstat(file.fileno())
            version = file_version(state.st_mtime_ns, state.st_size)
            if known is not None and known.file_version == version and known.path == path:
                return known
            found = sniff(file.read(HEAD_BYTES))
            if found is None or not found.readable:
                raise self._unrecognized(state.st_mtime_ns)
            if found.name in self._refused:
                raise UnsupportedImage(f"This server does not serve {found.name} originals.")
            width, height = _size(file, found)
        return Original(image_id, version, state.st_size, state.st_mtime_ns, found, width, height, path)

    def find_stem(self, stem: str) -> builtins.list[str]:
        """Return the ids of the files named `stem`, a dot and the extension of an image format."""
        parts = parts_of(stem)
        if parts is None:
            raise ImageNotFound
        *above, start = parts
        names = [f"{start}.{spelling}" for extension in BY_EXTENSION for spelling in (extension, extension.upper())]
        present = _present(self._root.folder_path(above), names)
        return ["/".join((*above, name)) for name in present]

    def readable(self) -> bool:
        """Return whether the folder exists and can be listed."""
        return os.access(self._root.path or "/", os.R_OK | os.X_OK)

    def list(self) -> Iterator[str]:
        """Iterate over the image ids. The extension decides, because this should not open every file."""
        for folder, folders, files in os.walk(self._root.path or "/"):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if not name.startswith(".") and name.rpartition(".")[2].lower() in BY_EXTENSION:
                    yield os.path.relpath(f"{folder}/{name}", self._root.path or "/")

    def check_id(self, image_id: str) -> None:
        """Check an id for a new image."""
        check_id(image_id)

    def incoming(self) -> Incoming:
        """Open a new file that is not visible yet."""
        return open_incoming(self._root)

    def place(self, incoming: Incoming, image_id: str, *, replace: bool) -> str:
        """Move a complete incoming file to its place, and return its file version."""
        return place(self._root, incoming, image_id, replace=replace)

    def remove(self, image_id: str) -> None:
        """Delete an original for good."""
        remove(self._root, image_id)

    def discard(self, image_id: str, sidecar: Mapping[str, object]) -> str:
        """Move an original to the trash with a sidecar, and return the name of the item."""
        return self._trash.discard(image_id, sidecar)

    def trashed(self) -> builtins.list[Trashed]:
        """List the trash, oldest first."""
        return self._trash.items()

    def trash_item(self, item: str) -> Trashed:
        """Return one item of the trash."""
        return self._trash.find(item)

    def restore(self, item: str) -> Trashed:
        """Move an original from the trash back to its place, and return its item."""
        return self._trash.restore(item)

    def destroy(self, item: str) -> None:
        """Delete an item of the trash for good."""
        self._trash.destroy(item)

    def sweep(self) -> int:
        """Remove the incomplete files that processes left when they died; return how many."""
        return sweep_incoming(self._root) + self._trash.sweep()

    def _unrecognized(self, modified_ns: int) -> OriginalUnsettled | UnsupportedImage:
        young = abs(time.time() - modified_ns / 1e9) < self._settle
        return OriginalUnsettled(retry_after=2) if young else UnsupportedImage()


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


def _size(file: io.BufferedReader, found: Format) -> tuple[int, int]:
    """Return the stored size from the header; 0 x 0 if it is not there, which only affects the choice of a format."""
    if found.name == "svg":
        return 0, 0
    file.seek(0)
    # A bounded piece: the parser is plain Python, and a hostile file could keep it busy for long.
    head = io.BytesIO(file.read(_SIZE_BYTES))
    try:
        width, height = imagesize.get(head)
    except Exception:  # noqa: BLE001  a parser of hostile bytes: after any error the size is unknown
        return 0, 0
    return (width, height) if width > 0 and height > 0 else (0, 0)
