"""Originals that are added, replaced and deleted."""

import contextlib
import functools
import os
import secrets
import time
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from imgserve.errors import (
    BadImageId,
    ImageExists,
    ImageNotFound,
    OriginalUnsettled,
    ReadOnlyOriginals,
    UnsupportedImage,
)
from imgserve.model import file_version
from imgserve.originals.folder import Originals, parts_of
from imgserve.originals.incoming import (
    OWN,
    Incoming,
    claim,
    file_size,
    hold_abandoned,
    move_new,
    names_in,
    open_folder,
    own_folder,
    put_file,
    writing,
)
from imgserve.originals.trash import Trash, is_there

PART_BYTES = 255
"""The limit of one name in every common file system."""
ID_BYTES = 1000
"""An id is part of URLs, some of which are limited to 2000 characters, with bytes written as %XX."""
DEPTH = 64
"""Parts of an id. Deeper folders are a mistake in the names."""
_REFUSED = {"Cc", "Cs", "Zl", "Zp"}
"""Control characters, halves of surrogate pairs (bytes that are not UTF-8), separators of lines and paragraphs."""


def new_id(text: str) -> str:
    """Return a checked id with composed characters (Unicode NFC), so that ids that look alike are equal.

    Raises as `check_id` does.
    """
    image_id = unicodedata.normalize("NFC", text)
    check_id(image_id)
    return image_id


def check_id(image_id: str) -> None:
    """Raise BadImageId, with the broken rule, if no new image can have an id. Existing files may have others."""
    parts = image_id.split("/")
    rules = (
        (not all(parts), "it is empty, begins or ends with a slash, or contains //"),
        (any(part.startswith(".") for part in parts), "a part of it begins with a dot, which hides it or leads upward"),
        ("\\" in image_id, "it contains a backslash; folders are separated by /"),
        (
            any(unicodedata.category(letter) in _REFUSED for letter in image_id),
            "it contains a control character, or bytes that are not UTF-8",
        ),
        (not unicodedata.is_normalized("NFC", image_id), "its characters are not composed (Unicode NFC)"),
        (_bytes(image_id) > ID_BYTES, f"it is longer than {ID_BYTES} bytes"),
        (len(parts) > DEPTH, f"it has more than {DEPTH} parts"),
        (max(map(_bytes, parts)) > PART_BYTES, f"a part of it is longer than {PART_BYTES} bytes"),
    )
    for broken, mistake in rules:
        if broken:
            raise BadImageId(f"No image can have this id: {mistake}.")


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


_INCOMING = "incoming"


class WritableOriginals(Originals):
    """Originals whose main folder is written to; the mounted folders are read-only.

    Every writing method may raise StorageFull, ReadOnlyOriginals, and Unavailable for other failures of the disk.
    """

    @functools.cached_property
    def trash(self) -> Trash:
        """The trash of the main folder."""
        return Trash(self._root, self._check_writable)

    def check_id(self, image_id: str) -> None:
        """Check an id for a new image. Existing files may have other ids.

        Raises:
            BadImageId: it is hidden, climbs, is too long or not clean text.
            ReadOnlyOriginals, ImageExists: it is below a mounted folder, or a folder with one.
        """
        self._check_placeable(image_id)
        check_id(image_id)

    def incoming(self) -> Incoming:
        """Open a new file that is not visible yet."""
        with writing(), own_folder(self._root, _INCOMING, make=True) as folder:
            descriptor = None
            while descriptor is None:
                name = f"{time.time_ns():x}-{secrets.token_hex(6)}"
                descriptor = claim(folder, name)
            return Incoming(Path(f"{self._root.path}/{OWN}/{_INCOMING}/{name}"), os.dup(folder), descriptor)

    def place(self, incoming: Incoming, image_id: str, *, replace: bool) -> str:
        """Move a complete incoming file to its place, create its folders, and return its file version.

        An existing file stays unless `replace` is set. If this fails, nothing has changed.

        Raises:
            BadImageId: no file can have this id.
            ImageExists: there is a file or a folder, or a file where a folder is needed.
        """
        self._check_placeable(image_id)
        if parts_of(image_id) is None or not os.path.lexists(f"{self._root.path}/{image_id}"):
            check_id(image_id)  # an existing file may be replaced under an id that no new file can have

        def move(folder: int, name: str) -> None:
            if not replace:
                move_new(incoming.folder, incoming.path.name, folder, name)
                return
            try:
                state = os.stat(name, dir_fd=folder)  # of the target of a link, because that was served
            except OSError:  # no file, or one that was not served
                pass
            else:
                incoming.differ(file_version(state.st_mtime_ns, state.st_size))
            os.rename(incoming.path.name, name, src_dir_fd=incoming.folder, dst_dir_fd=folder)

        incoming.close()
        with writing():
            put_file(self._root, image_id, move)
            version = incoming.version
        incoming.placed()
        return version

    def move(self, image_id: str, new_id: str) -> None:
        """Move an original to another id in one step, and remove the folders that are empty then.

        Raises:
            ImageNotFound: it does not exist.
            BadImageId: no new image can have this id.
            ImageExists: there is a file or a folder, or a file where a folder is needed.
            ReadOnlyOriginals: one of the ids is below a mounted folder, or the folders are on different disks.
        """
        self._check_deletable(image_id)
        self.check_id(new_id)
        file_size(self._root, image_id)
        *above, name = image_id.split("/")
        if above != new_id.split("/")[:-1] and Path(f"{self._root.path}/{image_id}").is_symlink():
            raise ReadOnlyOriginals("This original is a link, which would lead elsewhere from another folder.")
        with writing(), open_folder(self._root, above, make=False) as source:

            def move(target: int, new_name: str) -> None:
                if not is_there(source.descriptor, name):
                    raise ImageNotFound
                move_new(source.descriptor, name, target, new_name)

            put_file(self._root, new_id, move)
            os.fsync(source.descriptor)
            source.prune()

    def discard(self, image_id: str, sidecar: Mapping[str, object]) -> str:
        """Move an original to the trash with a sidecar, or raise ImageNotFound; return the name of the item."""
        self._check_deletable(image_id)
        return self.trash.discard(image_id, sidecar)

    def remove(self, image_id: str) -> None:
        """Delete an original for good, or raise ImageNotFound, and delete the folders that are empty then."""
        self._check_deletable(image_id)
        file_size(self._root, image_id)
        *above, name = image_id.split("/")
        with writing():
            try:
                with open_folder(self._root, above, make=False) as folder:
                    os.unlink(name, dir_fd=folder.descriptor)
                    os.fsync(folder.descriptor)
                    folder.prune()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise ImageNotFound from error

    def sweep(self) -> int:
        """Remove the incomplete files that processes left when they died; return how many."""
        swept = 0
        with writing(), contextlib.suppress(FileNotFoundError), own_folder(self._root, _INCOMING, make=False) as folder:
            for name in names_in(folder):
                descriptor = hold_abandoned(folder, name)
                if descriptor is not None:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=folder)
                        swept += 1
                    os.close(descriptor)
        return swept + self.trash.sweep()

    def _check_writable(self, image_id: str) -> None:
        if self._prefix(image_id):
            raise ReadOnlyOriginals

    def _check_placeable(self, image_id: str) -> None:
        """Raise for an id below a prefix, or one that is a folder of a prefix."""
        self._check_writable(image_id)
        if any(prefix.startswith(f"{image_id}/") for prefix in self._roots):
            raise ImageExists("There is a folder of this name.")

    def _check_deletable(self, image_id: str) -> None:
        """Raise for an id of a read-only folder: ImageNotFound if there is nothing to delete."""
        if self._prefix(image_id):
            with contextlib.suppress(UnsupportedImage, OriginalUnsettled):  # a file, but not an image
                self.stat(image_id)
            raise ReadOnlyOriginals
