"""What else is kept of one original: the renditions beside a given one. It only looks, and reads no picture."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from imgserve.cache.key import RenditionKey

MOST_SIBLINGS = 1000
"""As many as are kept of one original by default; a look-up is to take a few milliseconds at most."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """A rendition of the same version of the same original, made by the same pipeline."""

    key: RenditionKey
    width: int
    height: int


def name_range(key: RenditionKey) -> tuple[str, str]:
    """Give the paths between which all siblings of a rendition lie, in the order of text."""
    start = _start(key)
    # "." follows "-" in ASCII, so this is the range of all names that begin so.
    return start, f"{start[:-1]}."


def siblings(key: RenditionKey, found: Iterable[tuple[str, int, int]]) -> list[Sibling]:
    """Read keys from (path, width, height); a name that holds a hash cannot be read back, and is left out."""
    start = _start(key)
    listed = []
    for path, width, height in found:
        canonical, dot, extension = path.removeprefix(start).rpartition(".")
        sibling = replace(key, canonical=canonical, extension=extension)
        if dot and sibling != key and sibling.path == path:
            listed.append(Sibling(sibling, width, height))
    return listed


def _start(key: RenditionKey) -> str:
    """Give what the paths of all siblings begin with."""
    return replace(key, canonical="", extension="x").path.removesuffix(".x")
