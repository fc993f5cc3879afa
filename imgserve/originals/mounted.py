"""Several folders of originals as one: a main folder, and read-only folders below prefixes."""

import builtins
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace as changed

from imgserve.errors import ImageExists, OriginalUnsettled, ReadOnlyOriginals, UnsupportedImage
from imgserve.model import Original
from imgserve.originals.base import Trashed
from imgserve.originals.folder import FolderOriginals
from imgserve.originals.incoming import Incoming


class MountedOriginals:
    """A main folder and others. An id below a prefix is a file of that folder, and never one of the main folder."""

    def __init__(self, main: FolderOriginals, mounts: Mapping[str, FolderOriginals]) -> None:
        """Use folders by prefix, without a trailing slash; the longest prefix that matches an id decides."""
        self._main = main
        by_length = sorted(mounts.items(), key=lambda mount: -len(mount[0]))
        self._mounts = {f"{prefix}/": folder for prefix, folder in by_length}

    def stat(self, image_id: str, known: Original | None = None) -> Original:
        """Return an original as it is now."""
        prefix = self._prefix(image_id)
        seen = self._folder(prefix).stat(image_id.removeprefix(prefix), known)
        return seen if seen is known else changed(seen, image_id=image_id)

    def find_stem(self, stem: str) -> builtins.list[str]:
        """Return the ids of the files named `stem`, a dot and the extension of an image format."""
        prefix = self._prefix(stem)
        return [prefix + name for name in self._folder(prefix).find_stem(stem.removeprefix(prefix))]

    def readable(self) -> bool:
        """Return whether the main folder exists: without one of the others the rest is still served."""
        return self._main.readable()

    def list(self) -> Iterator[str]:
        """Iterate over the image ids, folder by folder."""
        for prefix in ("", *sorted(self._mounts)):
            for name in self._folder(prefix).list():
                if self._prefix(prefix + name) == prefix:
                    yield prefix + name

    def check_id(self, image_id: str) -> None:
        """Check an id for a new image."""
        self._check_placeable(image_id)
        self._main.check_id(image_id)

    def incoming(self) -> Incoming:
        """Open a new file that is not visible yet."""
        return self._main.incoming()

    def place(self, incoming: Incoming, image_id: str, *, replace: bool) -> str:
        """Move a complete incoming file to its place, and return its file version."""
        self._check_placeable(image_id)
        return self._main.place(incoming, image_id, replace=replace)

    def remove(self, image_id: str) -> None:
        """Delete an original for good."""
        self._check_deletable(image_id)
        self._main.remove(image_id)

    def discard(self, image_id: str, sidecar: Mapping[str, object]) -> str:
        """Move an original to the trash with a sidecar, and return the name of the item."""
        self._check_deletable(image_id)
        return self._main.discard(image_id, sidecar)

    def trashed(self) -> builtins.list[Trashed]:
        """List the trash, oldest first."""
        return self._main.trashed()

    def trash_item(self, item: str) -> Trashed:
        """Return one item of the trash."""
        return self._main.trash_item(item)

    def restore(self, item: str) -> Trashed:
        """Move an original from the trash back to its place, and return its item."""
        self._check_writable(self._main.trash_item(item).image_id)
        return self._main.restore(item)

    def destroy(self, item: str) -> None:
        """Delete an item of the trash for good."""
        self._main.destroy(item)

    def sweep(self) -> int:
        """Remove the incomplete files that processes left when they died; return how many."""
        return self._main.sweep()

    def _prefix(self, image_id: str) -> str:
        """Return the prefix that decides, with a trailing slash; empty for the main folder."""
        return next((prefix for prefix in self._mounts if image_id.startswith(prefix)), "")

    def _folder(self, prefix: str) -> FolderOriginals:
        return self._mounts[prefix] if prefix else self._main

    def _check_placeable(self, image_id: str) -> None:
        """Raise for an id below a prefix, or one that is a folder of a prefix."""
        self._check_writable(image_id)
        if any(prefix.startswith(f"{image_id}/") for prefix in self._mounts):
            raise ImageExists("There is a folder of this name.")

    def _check_deletable(self, image_id: str) -> None:
        """Raise for an id of a read-only folder: ImageNotFound if there is nothing to delete."""
        if self._prefix(image_id):
            with contextlib.suppress(UnsupportedImage, OriginalUnsettled):  # a file, but not an image
                self.stat(image_id)
            raise ReadOnlyOriginals

    def _check_writable(self, image_id: str) -> None:
        """Raise ReadOnlyOriginals for an id of a read-only folder."""
        if self._prefix(image_id):
            raise ReadOnlyOriginals
