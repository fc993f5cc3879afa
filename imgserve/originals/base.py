"""What every place of originals offers, whatever keeps the bytes: reading and writing apart."""

import builtins
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from imgserve.model import Original
from imgserve.originals.incoming import Incoming


@dataclass(frozen=True, slots=True)
class Walked:
    """A file met on a walk; whether it is an image is not known."""

    image_id: str
    version: str
    """As `Original.file_version`."""


class Walk(Iterator[Walked]):
    """The files met on a walk, one after the other in the order of their ids, and what could not be looked at."""

    def __init__(self, walking: Callable[[list[str]], Iterator[Walked]]) -> None:
        """Take what yields the files and adds to the list it is given."""
        self.missed: list[str] = []
        """Beginnings of ids, `""` for all, complete at the end: what is recorded of them is not gone for that."""
        self._files = walking(self.missed)

    def __next__(self) -> Walked:
        return next(self._files)


@dataclass(frozen=True, slots=True)
class Trashed:
    """An original in the trash."""

    item: str
    """Its name there; names sort by the time of deletion."""
    image_id: str
    """Under which it was known, and will be again."""
    deleted: datetime
    """When; with a time zone."""
    size: int
    """Bytes."""
    sidecar: Mapping[str, object]
    """What whoever discarded it wants to know when it is restored."""


class Originals(Protocol):
    """A place of originals, looked at by blocking calls that belong in a thread."""

    def stat(self, image_id: str, known: Original | None = None) -> Original:
        """Look at one original as it is now; `known` spares reading its header where it did not change.

        Raises:
            ImageNotFound: absent, hidden, outside, or no regular file: all alike.
            UnsupportedImage: present, but in no format that imgserve reads.
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
        """Walk the image ids, folder by folder in the order of names."""
        ...


class WalkableOriginals(Originals, Protocol):
    """A place of originals that can be gone through as a whole."""

    def walk(self) -> Walk:
        """Walk every file that could be an original, whatever its extension, in the order of ids.

        A file behind a linked folder is served, but not met: a link may lead back. So absence from a walk makes nobody
        sure; `stat` does.
        """
        ...

    def readable(self) -> bool:
        """Tell whether the folder is there and can be listed."""
        ...


class WritableOriginals(WalkableOriginals, Protocol):
    """A place of originals that are added, replaced and deleted by blocking calls that belong in a thread.

    All of them may raise StorageFull, ReadOnlyOriginals, and Unavailable for other trouble with the disk.
    """

    @property
    def read_only(self) -> bool:
        """Tell whether nothing can be written."""
        ...

    def check_id(self, image_id: str) -> None:
        """Refuse an id for a new image; what lies there already may have an odder one.

        Raises:
            BadImageId: it is hidden, climbs, is too long or not clean text.
        """
        ...

    def incoming(self) -> Incoming:
        """Open a new file that nobody sees yet."""
        ...

    def place(self, incoming: Incoming, image_id: str, *, replace: bool) -> str:
        """Give an incoming file its place, whole and on the disk, and tell its file version; folders are made.

        What was there keeps its place unless `replace` is said, and where this fails nothing has changed.

        Raises:
            BadImageId: no file may lie there.
            ImageExists: one does, or a folder does, or a file where a folder is needed.
        """
        ...

    def discard(self, image_id: str, sidecar: Mapping[str, object]) -> str:
        """Move an original to the trash with what is known of it, and tell the name of the item.

        Raises:
            ImageNotFound: there is none.
        """
        ...

    def remove(self, image_id: str) -> None:
        """Delete an original for good.

        Raises:
            ImageNotFound: there is none.
        """
        ...

    def trashed(self) -> builtins.list[Trashed]:
        """List the trash, oldest first; not what was only half discarded or half destroyed."""
        ...

    def trash_item(self, item: str) -> Trashed:
        """Look at one item.

        Raises:
            TrashItemNotFound: there is none.
        """
        ...

    def restore(self, item: str) -> Trashed:
        """Move an original from the trash back to its place.

        Raises:
            TrashItemNotFound: there is none.
            ImageExists: there is something at its place again.
        """
        ...

    def destroy(self, item: str) -> None:
        """Delete an item of the trash for good, also one that is only half there.

        Raises:
            TrashItemNotFound: there is none.
        """
        ...

    def sweep(self) -> int:
        """Remove what processes left that died in the middle; tell how many."""
        ...
