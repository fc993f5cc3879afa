"""Choose, order and time the frames of an animation."""

from collections.abc import Sequence
from itertools import accumulate

import pyvips

from imgserve.pipeline.fields import field, with_fields, without
from imgserve.transform.value import Transform

_DEFAULT_DELAY = 100
_LEAST_DELAY = 10
"""Milliseconds; browsers show a frame with this delay or a shorter one for the default."""


def height_of(roll: pyvips.Image) -> int:
    """Return the height of one frame."""
    return int(field(roll, "page-height", roll.height))


def split(roll: pyvips.Image) -> list[pyvips.Image]:
    """Return the frames of an animation, which libvips joins top to bottom, or a still picture."""
    height = height_of(roll)
    return [roll.crop(0, top, roll.width, height) for top in range(0, roll.height, height)]


def joined(frames: Sequence[pyvips.Image]) -> pyvips.Image:
    """Return frames joined as `split` expects them; one frame is a still picture."""
    if len(frames) == 1:
        return without(frames[0], "page-height")
    return with_fields(pyvips.Image.arrayjoin(list(frames), across=1), {"page-height": frames[0].height})


def arranged(frames: Sequence[pyvips.Image], transform: Transform, first: int = 0) -> list[pyvips.Image]:
    """Return frames in the requested order and rate, each with the delays and the repetitions of all of them.

    `first` is the index of the first frame among the delays, which may be those of the whole animation.
    """
    delays: list[int] = field(frames[0], "delay", [])
    delays = delays[first:] if len(delays) > len(frames) else delays
    delays = [*delays, *[_DEFAULT_DELAY] * len(frames)][: len(frames)]
    shown = list(zip(frames, delays, strict=True))
    if transform.fps:
        shown = _thinned(shown, transform.fps)
    if transform.reverse:
        shown.reverse()
    loop = field(frames[0], "loop") if transform.loop is None else transform.loop
    fields = {"delay": [delay for _, delay in shown], "loop": loop}
    # libvips writes the older fields if they differ.
    return [with_fields(without(frame, "gif-delay", "gif-loop"), fields) for frame, _ in shown]


def _thinned(shown: Sequence[tuple[pyvips.Image, int]], fps: int) -> list[tuple[pyvips.Image, int]]:
    """Return at most one frame for each tick of a clock; a frame is shown until the next one that remains."""
    delays = [delay if delay > _LEAST_DELAY else _DEFAULT_DELAY for _, delay in shown]
    starts = list(accumulate(delays, initial=0))
    ticks = [start * fps // 1000 for start in starts[:-1]]
    # The first frame of each tick.
    indexes = list({tick: index for index, tick in reversed(list(enumerate(ticks)))}.values())[::-1]
    ends = [*(starts[index] for index in indexes[1:]), starts[-1]]
    return [(shown[index][0], end - starts[index]) for index, end in zip(indexes, ends, strict=True)]
