"""The admission queue: N slots render, M requests wait, further ones are refused."""

import asyncio
import itertools
import math
import time
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field

from imgserve.errors import Busy

GIANT_MEGAPIXELS = 25.0
"""Above what today's cameras deliver: 22 megapixels of JPEG decode in 0.1 s, 50 of PNG in over a second."""
_GIANT_PIXELS = GIANT_MEGAPIXELS * 1e6
ALLOWANCE = 0.05
"""Seconds for each megapixel in which smaller pictures may overtake one: 0.1 s for 2 megapixels, 2.5 s for 50."""
_SECONDS_PER_PICTURE, _SECONDS_PER_MEGAPIXEL = 0.02, 0.01
"""A first estimate of rendering time, between JPEG and PNG, which is corrected by measurements."""
_DECAY = 0.95
"""Weight of earlier measurements after each picture: the last twenty count most."""
_MAX_RETRY = 60
"""A longer estimate would not be reliable."""


@dataclass(frozen=True, slots=True, order=True)
class _Waiter:
    deadline: float
    number: int
    """By arrival: equal deadlines are served first in, first out, and no two waiters are equal."""
    pixels: int = field(compare=False)
    """An integer, so that sums return to exactly zero."""
    background: bool = field(compare=False)
    admitted: asyncio.Future["Slot"] = field(compare=False)

    @property
    def giant(self) -> bool:
        return self.pixels > _GIANT_PIXELS


class Slot:
    """The right to render one picture, until `leave`."""

    def __init__(self, admission: "Admission", pixels: int, *, background: bool, entered: float) -> None:
        """Create a slot in use; called by `Admission.enter` only."""
        self._admission = admission
        self.pixels = pixels
        self.giant = pixels > _GIANT_PIXELS
        self.background = background
        self.entered = entered

    def leave(self) -> None:
        """Release the slot to the next waiter; further calls have no effect."""
        self._admission._leave(self)  # noqa: SLF001  the other half of one mechanism


class Admission:
    """The queue: N slots render, M pictures wait, small pictures ahead of large ones, none for ever.

    1. All steps between two awaits run alone, since there is one event loop and no threads.
    2. Between steps no waiter that may enter is left waiting: every change that could allow it (a slot left, a waiter
       gone) admits all that may enter. So an arriving picture that may enter overtakes none.
    3. Every waiter is admitted in the end: a picture that arrives after another's allowance has the later deadline. It
       overtakes a giant only while giants hold all the slots that giants may hold, and these are left in the end.
    4. Admission takes the slot at once. A waiter cancelled between that and its next step leaves it again.
    5. Of two or more slots, one is closed to giants and one to background work: a small picture never finds all slots
       held by either, at the cost of one slot for a series of giants.
    """

    def __init__(
        self, slots: int, *, waiting: int, waiting_megapixels: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Create a queue with so many slots, in which so many pictures and megapixels may wait."""
        self._slots = slots
        self._share = max(1, slots - 1)
        """Slots that giants may hold, or background work."""
        self._max_waiting = waiting
        self._max_pixels = round(waiting_megapixels * 1e6)
        self._clock = clock
        self._numbers = itertools.count()
        self._inside: set[Slot] = set()
        # One line for each kind, by background and giant: the first of each kind is found at once.
        self._lines: dict[tuple[bool, bool], list[_Waiter]] = {
            (background, giant): [] for background in (False, True) for giant in (False, True)
        }
        self._pixels = {False: 0, True: 0}
        """Waiting pixels, by background."""
        self._estimated, self._measured = 1.0, 1.0
        """Seconds of the last pictures in their slots."""

    @property
    def free(self) -> int:
        """Return the number of free slots."""
        return self._slots - len(self._inside)

    @property
    def waiting(self) -> int:
        """Return the number of clients' pictures that wait."""
        return self._count(background=False)

    async def enter(self, megapixels: float, *, background: bool = False) -> Slot:
        """Wait for a slot and return it; a background job lets all clients pass.

        Raises:
            Busy: the queue is full; raised at once.
        """
        pixels = round(megapixels * 1e6)
        if self._may_enter(giant=pixels > _GIANT_PIXELS, background=background):
            return self._admit(pixels, background=background)
        count = self._count(background=background)
        # Alone, a picture of any size may wait: otherwise one larger than the bound could never be rendered.
        if count >= self._max_waiting or (count and self._pixels[background] + pixels > self._max_pixels):
            raise Busy(retry_after=self._retry_after())
        deadline = self._clock() + ALLOWANCE * megapixels
        waiter = _Waiter(deadline, next(self._numbers), pixels, background, asyncio.get_running_loop().create_future())
        insort(self._lines[background, waiter.giant], waiter)
        self._pixels[background] += pixels
        try:
            return await waiter.admitted
        except BaseException:
            if waiter.admitted.done() and not waiter.admitted.cancelled():
                waiter.admitted.result().leave()
            else:
                waiter.admitted.cancel()
                self._forget(waiter)
                self._admit_waiting()
            raise

    def _leave(self, slot: Slot) -> None:
        if slot not in self._inside:
            return
        self._inside.remove(slot)
        self._estimated = _DECAY * self._estimated + _estimate(1, slot.pixels)
        self._measured = _DECAY * self._measured + max(0.0, self._clock() - slot.entered)
        self._admit_waiting()

    def _admit_waiting(self) -> None:
        while ready := [
            line[0] for (background, giant), line in self._lines.items()
            if line and self._may_enter(giant=giant, background=background)
        ]:  # fmt: skip
            waiter = min(ready)
            self._forget(waiter)
            if not waiter.admitted.done():
                waiter.admitted.set_result(self._admit(waiter.pixels, background=waiter.background))

    def _may_enter(self, *, giant: bool, background: bool) -> bool:
        if not self.free:
            return False
        if giant and sum(slot.giant for slot in self._inside) >= self._share:
            return False
        return not background or (not self.waiting and sum(slot.background for slot in self._inside) < self._share)

    def _admit(self, pixels: int, *, background: bool) -> Slot:
        slot = Slot(self, pixels, background=background, entered=self._clock())
        self._inside.add(slot)
        return slot

    def _forget(self, waiter: _Waiter) -> None:
        """Remove a waiter from its line, if it is still there."""
        line = self._lines[waiter.background, waiter.giant]
        at = bisect_left(line, waiter)
        if at < len(line) and line[at] is waiter:
            del line[at]
            self._pixels[waiter.background] -= waiter.pixels

    def _retry_after(self) -> int:
        """Return the seconds until all waiting and current pictures are estimated to be done."""
        count = self.waiting + len(self._inside)
        pixels = self._pixels[False] + sum(slot.pixels for slot in self._inside)
        pace = self._measured / self._estimated
        return min(_MAX_RETRY, max(1, math.ceil(pace * _estimate(count, pixels) / self._slots)))

    def _count(self, *, background: bool) -> int:
        return len(self._lines[background, False]) + len(self._lines[background, True])


def _estimate(pictures: int, pixels: int) -> float:
    return pictures * _SECONDS_PER_PICTURE + pixels / 1e6 * _SECONDS_PER_MEGAPIXEL
