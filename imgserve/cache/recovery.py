"""Reconcile the files of a tier with its ledger."""

import io
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, Protocol

import imagesize

from imgserve.cache.files import Found, RenditionFiles
from imgserve.cache.key import is_rendition_path
from imgserve.cache.ledger import Entry, Ledger, Rows
from imgserve.formats import BY_EXTENSION, HEAD_BYTES, Format, sniff


def expected_format(path: str) -> Format | None:
    """Tell the format that a file's name promises."""
    return BY_EXTENSION.get(path.rpartition(".")[2])


def begins_as_named(path: str, head: bytes) -> bool:
    """Tell whether the first bytes are those of the format that the name promises."""
    expected = expected_format(path)
    return expected is not None and sniff(head[:HEAD_BYTES]) is expected


def is_whole(path: str, data: bytes) -> bool:
    """Tell whether a file is what its name promises, to the end: a copy in progress and a torn file are not."""
    expected = expected_format(path)
    if expected is None or not begins_as_named(path, data):
        return False
    ends_well = _ENDINGS.get(expected.name)
    return ends_well is None or ends_well(data)


def size_in_pixels(data: bytes) -> tuple[int, int]:
    """Read width and height from the header; 0, 0 where it does not tell."""
    width, height = imagesize.get(io.BytesIO(data), exif_rotation=False)
    return max(0, int(width)), max(0, int(height))


def _riff_is_whole(data: bytes) -> bool:
    size = int.from_bytes(data[4:8], "little") + 8
    return len(data) in {size, size + size % 2}


def _boxes_are_whole(data: bytes) -> bool:
    """Walk the outer boxes of ISO/IEC 14496-12, 4.2: size 0 reaches to the end, size 1 is told in 64 bits."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:
            return True
        if size < 8:  # noqa: PLR2004  the length of a box header
            return False
        at += size
    return at == len(data)


_TIFF_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""Bytes of a value by its type (TIFF 6.0, section 2)."""


def _tiff_is_whole(data: bytes) -> bool:
    """Look at the first directory and its values, which libtiff writes behind the pixels."""
    order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
    try:
        magic, at = struct.unpack_from(f"{order}2xHI", data)
        (entries,) = struct.unpack_from(f"{order}H", data, at)
        ends = [_tiff_entry_end(data, at + 2 + number * 12, order) for number in range(entries)]
    except struct.error:
        return False
    # Number 43 is BigTIFF, for files beyond 4 GB, which no rendition is.
    return magic == 42 and bool(ends) and max(*ends, at + 2 + entries * 12 + 4) <= len(data)  # noqa: PLR2004  TIFF


def _tiff_entry_end(data: bytes, at: int, order: Literal["<", ">"]) -> int:
    kind, count, offset = struct.unpack_from(f"{order}2xHII", data, at)
    size = int(_TIFF_VALUE_BYTES.get(kind, 1) * count)
    inline = 4
    return at + 12 if size <= inline else int(offset) + size


_ENDINGS: dict[str, Callable[[bytes], bool]] = {
    "jpg": lambda data: data.endswith(b"\xff\xd9"),
    "png": lambda data: data.endswith(b"IEND\xae\x42\x60\x82"),
    "gif": lambda data: data.endswith(b"\x3b"),
    "webp": _riff_is_whole,
    "avif": _boxes_are_whole,
    "tiff": _tiff_is_whole,
}


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


_TOGETHER = 16
"""Images a step: what is found in them is entered in one transaction, some milliseconds for which writers wait."""


class Reconciling(Protocol):
    """Decides, under the ledger's write lock, what becomes of a file and a row that do not agree."""

    def adopt(self, found: Sequence[Found]) -> None:
        """Enter files that have no row, or remove them."""

    def settle(self, path: str, used: int) -> object:
        """Bring one path to agree, whatever is wrong with it."""


def scan(files: RenditionFiles, ledger: Ledger, reconciler: Reconciling, now: Callable[[], int]) -> Iterator[int]:
    """Compare the whole folder with the whole ledger, some images a step; each tells the files that had no row."""
    folders = files.folders()
    while some := list(islice(folders, _TOGETHER)):
        yield _scan_folders(some, files, ledger, reconciler, now)
    known = ledger.next_folder("")
    while known is not None:
        if not files.exists(known):
            _drop_vanished(known, files, ledger)
        yield 0
        known = ledger.next_folder(known)


def _scan_folders(
    folders: Iterable[str], files: RenditionFiles, ledger: Ledger, reconciler: Reconciling, now: Callable[[], int]
) -> int:
    unknown: list[Found] = []
    for folder in folders:
        found = files.list_folder(folder)
        # Rows after files: a put in between shows as a row without a file, and is looked at again under the lock.
        rows = ledger.in_folder(folder)
        for file in found:
            size = rows.pop(file.path, None)
            if size is None:
                unknown.append(file)
            elif size != file.size or not file.regular:
                reconciler.settle(file.path, now())
        for path in rows:
            reconciler.settle(path, now())
        if not found:
            with ledger.changing():
                files.remove_if_empty(folder)
    if unknown:
        reconciler.adopt(unknown)
    return len(unknown)


def _drop_vanished(folder: str, files: RenditionFiles, ledger: Ledger) -> None:
    with ledger.changing() as rows:
        if not files.exists(folder):
            rows.drop_folder(folder)
