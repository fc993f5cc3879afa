"""The walk that finds inherited files and rows without files. It decides nothing about any of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from imgserve.cache.files import Found, RenditionFiles
from imgserve.cache.ledger import Ledger

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
