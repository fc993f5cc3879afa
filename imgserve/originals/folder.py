"""Originals in a folder. The one place that turns an image id into a path, and where nothing leaves the folder."""

import io
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import imagesize

from imgserve.errors import ImageNotFound, OriginalUnsettled, UnsupportedImage
from imgserve.formats import BY_EXTENSION, HEAD_BYTES, Format, sniff
from imgserve.model import Original, file_version
from imgserve.original_file import reading_original, resolve

_SIZE_BYTES = 256 * 1024


class FolderOriginals:
    """The files below one folder, by their path-like names."""

    def __init__(
        self, root: Path, *, settle: float = 2.0, follow_links: bool = True, refused: Collection[str] = ()
    ) -> None:
        """Serve below `root`.

        A file younger than `settle` seconds may still be written; formats named in `refused` are not served.
        """
        self._root = os.path.realpath(root).rstrip("/")
        self._settle = settle
        self._follow_links = follow_links
        self._refused = refused

    def stat(self, image_id: str, known: Original | None = None) -> Original:
        """Look at one original as it is now."""
        path = self._path(image_id)
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

    def readable(self) -> bool:
        """Tell whether the folder is there and can be listed."""
        return os.access(self._root or "/", os.R_OK | os.X_OK)

    def list(self) -> Iterator[str]:
        """Walk the image ids, by extension, since a walk should not open every file."""
        for folder, folders, files in os.walk(self._root or "/"):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if not name.startswith(".") and name.rpartition(".")[2].lower() in BY_EXTENSION:
                    yield os.path.relpath(f"{folder}/{name}", self._root or "/")

    def _path(self, image_id: str) -> str:
        """Resolve an image id to a path strictly below the root.

        Raises:
            ImageNotFound: empty, hidden, climbing or absolute names, and links to elsewhere.
        """
        if "\0" in image_id or any(part.startswith(".") or not part for part in image_id.split("/")):
            raise ImageNotFound
        asked = f"{self._root}/{image_id}"
        path = resolve(asked)
        inside = os.path.relpath(path, self._root or "/") if path.startswith(self._root + "/") else "."
        if any(part.startswith(".") for part in inside.split("/")) or (path != asked and not self._follow_links):
            raise ImageNotFound
        return path

    def _unrecognized(self, modified_ns: int) -> OriginalUnsettled | UnsupportedImage:
        young = abs(time.time() - modified_ns / 1e9) < self._settle
        return OriginalUnsettled(retry_after=2) if young else UnsupportedImage()


def _size(file: io.BufferedReader, found: Format) -> tuple[int, int]:
    """Read the stored size from the header; 0 x 0 where it does not tell, which only costs a choice of format."""
    if found.name == "svg":
        return 0, 0
    file.seek(0)
    # A bounded piece: the parser is plain Python, and a hostile file could keep it busy for long.
    head = io.BytesIO(file.read(_SIZE_BYTES))
    try:
        width, height = imagesize.get(head)
    except Exception:  # noqa: BLE001  a parser of hostile bytes: whatever it stumbles over, the size is unknown
        return 0, 0
    return (width, height) if width > 0 and height > 0 else (0, 0)
