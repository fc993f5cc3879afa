"""The walk that finds inherited files and rows without files. It decides nothing about any of them."""

from collections.abc import Callable, Iterator

from imgserve.cache.files import RenditionFiles
from imgserve.cache.ledger import Ledger
from imgserve.cache.reconcile import Reconciler


def scan(files: RenditionFiles, ledger: Ledger, reconciler: Reconciler, now: Callable[[], int]) -> Iterator[None]:
    """Compare the whole folder with the whole ledger, one image a step."""
    for folder in files.folders():
        _scan_folder(folder, files, ledger, reconciler, now)
        yield
    known = ledger.next_folder("")
    while known is not None:
        if not files.exists(known):
            reconciler.drop_vanished(known)
        yield
        known = ledger.next_folder(known)


def _scan_folder(
    folder: str, files: RenditionFiles, ledger: Ledger, reconciler: Reconciler, now: Callable[[], int]
) -> None:
    found = files.list_folder(folder)
    # Rows after files: a put in between shows as a row without a file, and is looked at again under the lock.
    rows = ledger.in_folder(folder)
    for file in found:
        size = rows.pop(file.path, None)
        if size is None:
            reconciler.adopt(file)
        elif size != file.size or not file.regular:
            reconciler.settle(file.path, now())
    for path in rows:
        reconciler.settle(path, now())
    if not found:
        reconciler.drop_empty(folder)
