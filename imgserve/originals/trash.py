"""The trash of a folder of originals. An item is a folder with a record and the original.

The record is written first, then the original is moved to it. So a process that dies leaves the original in its place
or an item that can be restored. A record without an original is swept.
"""

import contextlib
import errno
import json
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from imgserve.errors import ImageNotFound, TrashItemNotFound
from imgserve.originals.folder import FOLDER_FLAGS, Root, parts_of
from imgserve.originals.incoming import (
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

_FOLDER = "trash"
_RECORD = "record.json"
_ORIGINAL = "original"
_ITEM = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{12}", re.ASCII)
_RECORD_BYTES = 64 * 1024 * 1024
"""More than any record has, so that no foreign file is read as a whole."""

_logger = logging.getLogger(__name__)


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


class Trash:
    """The trash below one root. Its folder is created for the first original."""

    def __init__(self, root: Root, check_writable: Callable[[str], None]) -> None:
        """Create the trash; `check_writable` raises for an id to which nothing may be restored."""
        self._root = root
        self._check_writable = check_writable

    def discard(self, image_id: str, sidecar: Mapping[str, object]) -> str:
        """Move an original to the trash with a sidecar, or raise ImageNotFound; return the name of the item."""
        moment, size = datetime.now(UTC), file_size(self._root, image_id)
        fields = {"image_id": image_id, "deleted": moment.isoformat(), "size": size, "sidecar": dict(sidecar)}
        record = json.dumps(fields).encode()  # ASCII, which preserves the bytes of names that are not UTF-8
        *above, name = image_id.split("/")
        with (
            writing(),
            own_folder(self._root, _FOLDER, make=True) as trash,
            _new_item(trash, moment) as (item, folder, file),
        ):
            try:
                with open(file, "wb", closefd=False) as stream:
                    stream.write(record)
                for descriptor in (file, folder, trash):
                    os.fsync(descriptor)
                with open_folder(self._root, above, make=False) as source:
                    os.rename(name, _ORIGINAL, src_dir_fd=source.descriptor, dst_dir_fd=folder)
                    os.fsync(folder)
                    os.fsync(source.descriptor)
                    source.prune()
            except BaseException as error:
                _forget(trash, item, folder)
                if isinstance(error, FileNotFoundError | NotADirectoryError):
                    raise ImageNotFound from error
                raise
        return item

    def items(self) -> list[Trashed]:
        """Return the items with a record and an original, oldest first."""
        with writing(), contextlib.suppress(FileNotFoundError), own_folder(self._root, _FOLDER, make=False) as trash:
            found = (_look(trash, item) for item in sorted(names_in(trash)))
            return [trashed for trashed in found if trashed]
        return []

    def find(self, item: str) -> Trashed:
        """Return one item, or raise TrashItemNotFound."""
        with self._opened(item) as (trash, _):
            if found := _look(trash, item):
                return found
            raise TrashItemNotFound

    def restore(self, item: str) -> Trashed:
        """Move an original back to its place, and return its item.

        Raises:
            TrashItemNotFound: it does not exist.
            ImageExists: there is something at its place again.
            ReadOnlyOriginals: a folder was mounted there since.
        """
        found = self.find(item)
        self._check_writable(found.image_id)
        with self._opened(item) as (trash, folder):

            def move(target: int, name: str) -> None:
                if not is_there(folder, _ORIGINAL):
                    raise TrashItemNotFound  # another process was faster
                move_new(folder, _ORIGINAL, target, name)
                os.fsync(folder)

            put_file(self._root, found.image_id, move)
            _forget(trash, item, folder)
        return found

    def destroy(self, item: str) -> None:
        """Delete an item for good, even an incomplete one, or raise TrashItemNotFound."""
        with self._opened(item) as (trash, folder):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_ORIGINAL, dir_fd=folder)
            _forget(trash, item, folder)

    def sweep(self) -> int:
        """Remove items without an original that no process writes any more; return how many."""
        with writing(), contextlib.suppress(FileNotFoundError), own_folder(self._root, _FOLDER, make=False) as trash:
            return sum(_swept(trash, item) for item in names_in(trash) if _ITEM.fullmatch(item))
        return 0

    @contextlib.contextmanager
    def _opened(self, item: str) -> Iterator[tuple[int, int]]:
        """Open the trash and the folder of an item."""
        if not _ITEM.fullmatch(item):
            raise TrashItemNotFound
        with writing(), contextlib.ExitStack() as opened:
            try:
                trash = opened.enter_context(own_folder(self._root, _FOLDER, make=False))
                folder = opened.enter_context(_folder(trash, item))
            except (FileNotFoundError, NotADirectoryError) as error:
                raise TrashItemNotFound from error
            yield trash, folder


@contextlib.contextmanager
def _folder(trash: int, item: str) -> Iterator[int]:
    descriptor = os.open(item, FOLDER_FLAGS, dir_fd=trash)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _new_item(trash: int, moment: datetime) -> Iterator[tuple[str, int, int]]:
    """Create an item, and yield its name, its folder and its record, which is claimed until the end."""
    with contextlib.ExitStack() as opened:
        record = None
        while record is None:
            item = f"{moment:%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(6)}"
            os.mkdir(item, 0o700, dir_fd=trash)
            with contextlib.suppress(FileNotFoundError):  # a sweep removed it before it was claimed
                folder = opened.enter_context(_folder(trash, item))
                record = claim(folder, _RECORD)
        opened.callback(os.close, record)
        yield item, folder, record


def _look(trash: int, item: str) -> Trashed | None:
    """Return an item; None if it is not a complete one."""
    if not _ITEM.fullmatch(item):
        return None
    try:
        with _folder(trash, item) as folder:
            if not is_there(folder, _ORIGINAL):
                return None
            descriptor = os.open(_RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(descriptor, "rb") as file:
                return _read(item, file.read(_RECORD_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read(item: str, data: bytes) -> Trashed | None:
    try:
        fields = json.loads(data)
        deleted = datetime.fromisoformat(fields["deleted"]).astimezone(UTC)
        trashed = Trashed(item, str(fields["image_id"]), deleted, int(fields["size"]), dict(fields["sidecar"]))
    except (ValueError, KeyError, TypeError):
        trashed = None
    if trashed is None or parts_of(trashed.image_id) is None:
        _logger.warning("the record of item %s in the trash of originals is damaged", item)
        return None
    return trashed


def _forget(trash: int, item: str, folder: int) -> None:
    """Remove the record and the folder of an item, unless it holds an original."""
    if is_there(folder, _ORIGINAL):
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_RECORD, dir_fd=folder)
    _remove_folder(trash, item)


def _remove_folder(trash: int, item: str) -> None:
    """Remove the folder of an item, unless it is gone or contains foreign files."""
    try:
        os.rmdir(item, dir_fd=trash)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _swept(trash: int, item: str) -> bool:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), _folder(trash, item) as folder:
        if is_there(folder, _ORIGINAL):
            return False
        if not is_there(folder, _RECORD):
            _remove_folder(trash, item)
            return not is_there(trash, item)
        record = hold_abandoned(folder, _RECORD)
        if record is None:
            return False
        try:
            _forget(trash, item, folder)
        finally:
            os.close(record)
        return not is_there(trash, item)
    return False


def is_there(folder: int, name: str) -> bool:
    """Return whether an open folder contains a name."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
