"""The queue in front of the rendering processes: N slots render, M pictures wait, others are refused."""

import asyncio
import itertools
import math
import time
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from imgserve.errors import Busy

GIANT_MEGAPIXELS = 25.0
"""Above what today's cameras deliver: 22 megapixels of JPEG decode in 0.1 s, 50 of PNG in over a second."""
_GIANT_PIXELS = GIANT_MEGAPIXELS * 1e6
BRIEF_MEGAPIXELS = 4.0
"""A client waits 0.1 s at most for the inspection or mezzanine of such an original, but a second for an AVIF of it."""
IDLE_SECONDS = 1.0
"""Without a client's picture, after which the next one is not expected at once."""
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
    brief: bool = field(compare=False)
    admitted: asyncio.Future["Slot"] = field(compare=False)

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        return self.background, self.brief, self.pixels > _GIANT_PIXELS


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
       held by either, at the cost of one slot for a series of giants. While no client renders, brief background work
       uses all slots, since it ends soon.
    """

    def __init__(
        self, slots: int, *, waiting: int, waiting_megapixels: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Create a queue with so many slots, in which so many pictures and megapixels may wait."""
        self.slots = slots
        self._share = max(1, slots - 1)
        """Slots that giants may hold, or background work."""
        self.max_waiting = waiting
        self._max_pixels = round(waiting_megapixels * 1e6)
        self._clock = clock
        self._numbers = itertools.count()
        self._inside: set[Slot] = set()
        # One line for each kind, by background, brief and giant: the first of each kind is found at once.
        self._lines = defaultdict[tuple[bool, bool, bool], list[_Waiter]](list)
        self._pixels = {False: 0, True: 0}
        """Waiting pixels, by background."""
        self._estimated, self._measured = 1.0, 1.0
        """Seconds of the last pictures in their slots."""
        self._client_at = -math.inf
        """When the last client's picture arrived or left."""

    @property
    def free(self) -> int:
        """Return the number of free slots."""
        return self.slots - len(self._inside)

    @property
    def waiting(self) -> int:
        """Return the number of clients' pictures that wait."""
        return self._count(background=False)

    async def enter(self, megapixels: float, *, background: bool = False, brief: bool = False) -> Slot:
        """Wait for a slot and return it, or raise Busy at once.

        A background job lets all clients pass. If it is brief, it may use the last slot while no client renders.
        """
        pixels = round(megapixels * 1e6)
        if background:
            self._admit_waiting()  # time alone may allow brief work
        else:
            self._client_at = self._clock()
        if self._may_enter(pixels, background=background, brief=brief):
            return self._admit(pixels, background=background)
        count = self._count(background=background)
        # Alone, a picture of any size may wait: otherwise one larger than the bound could never be rendered.
        if count >= self.max_waiting or (count and self._pixels[background] + pixels > self._max_pixels):
            raise Busy(retry_after=self._retry_after())
        deadline = self._clock() + ALLOWANCE * megapixels
        admitted: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(deadline, next(self._numbers), pixels, background, brief, admitted)
        insort(self._lines[waiter.kind], waiter)
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
        if not slot.background:
            self._client_at = self._clock()
        self._estimated = _DECAY * self._estimated + _estimate(1, slot.pixels)
        self._measured = _DECAY * self._measured + max(0.0, self._clock() - slot.entered)
        self._admit_waiting()

    def _admit_waiting(self) -> None:
        while ready := [
            line[0] for (background, *_), line in self._lines.items()
            if line and self._may_enter(line[0].pixels, background=background, brief=line[0].brief)
        ]:  # fmt: skip
            waiter = min(ready)
            self._forget(waiter)
            if not waiter.admitted.done():
                waiter.admitted.set_result(self._admit(waiter.pixels, background=waiter.background))

    def _may_enter(self, pixels: int, *, background: bool, brief: bool) -> bool:
        if not self.free or (pixels > _GIANT_PIXELS and sum(slot.giant for slot in self._inside) >= self._share):
            return False
        if not background:
            return True
        unused = brief and self._clock() - self._client_at >= IDLE_SECONDS
        share = self.slots if unused else self._share
        return not self.waiting and sum(slot.background for slot in self._inside) < share

    def _admit(self, pixels: int, *, background: bool) -> Slot:
        slot = Slot(self, pixels, background=background, entered=self._clock())
        self._inside.add(slot)
        return slot

    def _forget(self, waiter: _Waiter) -> None:
        """Remove a waiter from its line, if it is still there."""
        line = self._lines[waiter.kind]
        at = bisect_left(line, waiter)
        if at < len(line) and line[at] is waiter:
            del line[at]
            self._pixels[waiter.background] -= waiter.pixels

    def _retry_after(self) -> int:
        """Return the seconds until all waiting and current pictures are estimated to be done."""
        count = self.waiting + len(self._inside)
        pixels = self._pixels[False] + sum(slot.pixels for slot in self._inside)
        pace = self._measured / self._estimated
        return min(_MAX_RETRY, max(1, math.ceil(pace * _estimate(count, pixels) / self.slots)))

    def _count(self, *, background: bool) -> int:
        return sum(len(line) for kind, line in self._lines.items() if kind[0] is background)


def _estimate(pictures: int, pixels: int) -> float:
    return pictures * _SECONDS_PER_PICTURE + pixels / 1e6 * _SECONDS_PER_MEGAPIXEL
