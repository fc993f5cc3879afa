"""Brings files and ledger to agree, one path at a time, under the ledger's write lock. No walking, no schedule."""

import zlib
from collections.abc import Sequence

from imgserve.cache.files import Found, RenditionFiles
from imgserve.cache.inherited import begins_as_named, expected_format, is_whole, size_in_pixels
from imgserve.cache.key import is_rendition_path
from imgserve.cache.ledger import Entry, Ledger, Rows
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

    def adopt(self, found: Sequence[Found]) -> None:
        """Enter inherited files by their first bytes, to be checked in full when they are first read."""
        # Read before the lock is taken: a cold disk may take its time.
        entries = [self._inherited(file) for file in found]
        with self._ledger.changing() as rows:
            for file, entry in zip(found, entries, strict=True):
                self._enter(rows, file, entry)

    def _inherited(self, file: Found) -> Entry | None:
        """Make the row of a file that looks like what its name promises."""
        expected = expected_format(file.path)
        if expected is None or not file.regular or not is_rendition_path(file.path):
            return None
        try:
            head = self._files.read_head(file.path, HEAD_BYTES)
        except FileNotFoundError:
            return None
        if not begins_as_named(file.path, head):
            return None
        return Entry(file.path, file.size, None, expected.media_type, 0, 0, (), file.modified_ns)

    def _enter(self, rows: Rows, file: Found, entry: Entry | None) -> None:
        # It may have been replaced, purged, or entered by another since it was looked at.
        if self._files.find(file.path) != file:
            return
        if entry is not None:
            rows.add(entry)
        elif rows.find(file.path) is not None:
            return
        elif file.regular and is_rendition_path(file.path):
            self._files.remove(file.path)
        else:
            self._files.remove_stray(file.path)


def _accepted(path: str, data: bytes, entry: Entry | None, used: int) -> Entry | None:
    """Make the row of a file that may be served; None for one that may not."""
    if entry is not None and entry.crc32 is not None:
        return entry if matches(entry, data) else None
    expected = expected_format(path)
    if expected is None or not is_whole(path, data):
        return None
    width, height = size_in_pixels(data)
    return Entry(path, len(data), zlib.crc32(data), expected.media_type, width, height, (), used)
