"""Brings files and ledger to agree, one path at a time, under the ledger's write lock. No walking, no schedule."""

import zlib

from imgserve.cache.files import Found, RenditionFiles
from imgserve.cache.inherited import begins_as_named, expected_format, is_whole, size_in_pixels
from imgserve.cache.key import is_rendition_path
from imgserve.cache.ledger import Entry, Ledger
from imgserve.formats import HEAD_BYTES


def matches(entry: Entry, data: bytes) -> bool:
    """Tell whether a file still is what was written."""
    return len(data) == entry.size and zlib.crc32(data) == entry.crc32


class Reconciler:
    """Decides what to do where a file and its row differ.

    Looking and acting happen under one write lock, which every writer of files takes too. So what looked torn to a
    reader, because a put replaced the file between its two looks, is looked at again before anything is removed.
    """

    def __init__(self, files: RenditionFiles, ledger: Ledger) -> None:
        """Take the two that have to agree."""
        self._files = files
        self._ledger = ledger

    def settle(self, path: str, used: int) -> tuple[Entry, bytes] | None:
        """Keep a good file and give it a row; remove a bad file; drop a row without a file."""
        with self._ledger.changing() as rows:
            entry, data = rows.find(path), self._files.read(path)
            if data is not None:
                entry = _accepted(path, data, entry, used)
                if entry is not None:
                    rows.put(entry)
                    return entry, data
                self._files.remove(path)
            rows.drop(path)
            return None

    def adopt(self, found: Found) -> None:
        """Enter an inherited file by its first bytes, to be checked in full when it is first read."""
        expected = expected_format(found.path)
        with self._ledger.changing() as rows:
            if not found.regular or not is_rendition_path(found.path):
                self._files.remove_stray(found.path)
                return
            if rows.find(found.path) is not None or not self._files.exists(found.path):
                return
            head = self._files.read_head(found.path, HEAD_BYTES)
            if expected is None or not begins_as_named(found.path, head):
                self._files.remove(found.path)
                return
            rows.put(Entry(found.path, found.size, None, expected.media_type, 0, 0, (), found.modified_ns))

    def drop_vanished(self, folder: str) -> None:
        """Drop the rows of a folder that is not there."""
        with self._ledger.changing() as rows:
            if not self._files.exists(folder):
                rows.drop_folder(folder)

    def drop_empty(self, folder: str) -> None:
        """Remove a folder that holds nothing."""
        with self._ledger.changing():
            self._files.remove_if_empty(folder)


def _accepted(path: str, data: bytes, entry: Entry | None, used: int) -> Entry | None:
    """Make the row of a file that may be served; None for one that may not."""
    if entry is not None and entry.crc32 is not None:
        return entry if matches(entry, data) else None
    expected = expected_format(path)
    if expected is None or not is_whole(path, data):
        return None
    width, height = size_in_pixels(data)
    return Entry(path, len(data), zlib.crc32(data), expected.media_type, width, height, (), used)
