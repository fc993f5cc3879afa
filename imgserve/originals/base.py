"""The protocols of a place of originals: reading, and writing."""

import builtins
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from imgserve.model import Original
from imgserve.originals.incoming import Incoming


@dataclass(frozen=True, slots=True)
class Walked:
    """A file that a walk has met; it may be any file."""

    image_id: str
    version: str
    """As `Original.file_version`."""


@dataclass(frozen=True, slots=True)
class Trashed:
    """An original in the trash."""

    item: str
    """Its name in the trash; names sort by the time of deletion."""
    image_id: str
    """Its id before the deletion and after a restore."""
    deleted: datetime
    """With a time zone."""
    size: int
    """Bytes."""
    sidecar: Mapping[str, object]
    """What the caller of `discard` needs when it is restored."""


class Originals(Protocol):
    """A place of originals that is read. All calls block, so they belong in a thread."""

    def stat(self, image_id: str, known: Original | None = None) -> Original:
        """Return an original as it is now; if `known` is unchanged, its header is not read again.

        Raises:
            ImageNotFound: absent, hidden, outside, or not a regular file.
            UnsupportedImage: present, but not in a format that imgserve reads.
            OriginalUnsettled: present, young, and not yet recognizable.
        """
        ...

    def find_stem(self, stem: str) -> builtins.list[str]:
        """Return the ids of the files named `stem`, a dot and the extension of an image format.

        The extension is in lower or in upper case. The order is that of the formats, so that the first one is
        preferred. An id may be listed although `stat` then finds no original there.

        Raises:
            ImageNotFound: the name is hidden, or the folder is outside.
            Unavailable: the folder cannot be read now.
        """
        ...

    def list(self) -> Iterator[str]:
        """Iterate over the image ids, folder by folder in the order of names."""
        ...


class WritableOriginals(Originals, Protocol):
    """A place of originals that are added, replaced and deleted.

    Every writing method may raise StorageFull, ReadOnlyOriginals, and Unavailable for other failures of the disk.
    """

    def readable(self) -> bool:
        """Return whether the folder exists and can be listed."""
        ...

    def check_id(self, image_id: str) -> None:
        """Check an id for a new image. Existing files may have other ids.

        Raises:
            BadImageId: it is hidden, climbs, is too long or not clean text.
        """
        ...

    def incoming(self) -> Incoming:
        """Open a new file that is not visible yet."""
        ...

    def place(self, incoming: Incoming, image_id: str, *, replace: bool) -> str:
        """Move a complete incoming file to its place, create its folders, and return its file version.

        An existing file stays unless `replace` is set. If this fails, nothing has changed.

        Raises:
            BadImageId: no file can have this id.
            ImageExists: there is a file or a folder, or a file where a folder is needed.
        """
        ...

    def discard(self, image_id: str, sidecar: Mapping[str, object]) -> str:
        """Move an original to the trash with a sidecar, and return the name of the item.

        Raises:
            ImageNotFound: it does not exist.
        """
        ...

    def remove(self, image_id: str) -> None:
        """Delete an original for good.

        Raises:
            ImageNotFound: it does not exist.
        """
        ...

    def trashed(self) -> builtins.list[Trashed]:
        """List the complete items of the trash, oldest first."""
        ...

    def trash_item(self, item: str) -> Trashed:
        """Return one item of the trash.

        Raises:
            TrashItemNotFound: it does not exist.
        """
        ...

    def restore(self, item: str) -> Trashed:
        """Move an original from the trash back to its place, and return its item.

        Raises:
            TrashItemNotFound: it does not exist.
            ImageExists: there is something at its place again.
        """
        ...

    def destroy(self, item: str) -> None:
        """Delete an item of the trash for good, even an incomplete one.

        Raises:
            TrashItemNotFound: it does not exist.
        """
        ...

    def sweep(self) -> int:
        """Remove the incomplete files that processes left when they died; return how many."""
        ...
