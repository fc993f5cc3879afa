"""The files of a folder of originals."""

from collections.abc import Iterator
from pathlib import Path

from imgserve.originals.tree import OriginalsTree, Walked


def walked(folder: Path, *, follow_links: bool = True) -> Iterator[Walked]:
    """Walk every file of a folder of originals, as the watcher does."""
    return OriginalsTree({"": folder}, follow_links=follow_links).walk("")
