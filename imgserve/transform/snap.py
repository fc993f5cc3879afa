"""Sizes held to a ladder, so that strangers cannot have any number of renditions of one original made."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from imgserve.transform.parse import Asked


def snapped(asked: Asked, sizes: Sequence[int]) -> Asked:
    """Raise each side in pixels to the next of the ascending sizes (above the last: to it), and say so.

    A side given as a fraction or left open follows from the original, of which there is one.
    """
    transform, notes = asked.transform, list(asked.notes)

    def step(name: str, side: int | float | None) -> int | float | None:
        if not isinstance(side, int) or side in sizes:
            return side
        made = sizes[min(bisect_left(sizes, side), len(sizes) - 1)]
        notes.append(f"{name}: {side} is not a size of this server, made {made}")
        return made

    width, height = step("width", transform.width), step("height", transform.height)
    return replace(asked, transform=replace(transform, width=width, height=height), notes=tuple(notes))
