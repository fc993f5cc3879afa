"""The admission queue: N slots render, M requests wait, further ones are refused."""

import asyncio
import itertools
import math
import time
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from imgserve.errors import Busy

GIANT_MEGAPIXELS = 25.0
"""Above what today's cameras deliver: 22 megapixels of JPEG decode in 0.1 s, 50 of PNG in over a second."""
ALLOWANCE = 0.05
"""Seconds a megapixel that a picture lets smaller ones overtake it: 0.1 s for 2 megapixels, 2.5 s for 50."""
_PICTURE_SECONDS, _MEGAPIXEL_SECONDS = 0.02, 0.01
"""A first guess of what rendering takes, between JPEG and PNG; corrected by what it did take."""
_MEMORY = 0.95
"""Weight of what was known before in what is known after one more picture: the last twenty count most."""
_LONGEST_RETRY = 60
"""Whoever is told to come back later than this is told more than anyone can know."""


@dataclass(frozen=True, slots=True, order=True)
class _Waiter:
    deadline: float
    number: int
    """By arrival, so that equals come first in, first out and no two waiters are equal."""
    pixels: int = field(compare=False)
    """Whole, so that sums return to exactly zero."""
    low: bool = field(compare=False)
    admitted: asyncio.Future["Place"] = field(compare=False)

    @property
    def giant(self) -> bool:
        return _is_giant(self.pixels)


class Place:
    """The right to render one picture, until left."""

    def __init__(self, admission: "Admission", pixels: int, *, low: bool, entered: float) -> None:
        """Take whose place it is and what it is used for; only `Admission.enter` makes one."""
        self._admission = admission
        self._left = False
        self.pixels = pixels
        self.low = low
        self.entered = entered

    @property
    def should_yield(self) -> bool:
        """Whether this is background work and a client's picture waits: stop where stopping costs little."""
        return self.low and not self._admission.low_may_run

    def leave(self) -> None:
        """Give the place to whoever is next; once is enough."""
        if not self._left:
            self._left = True
            self._admission._left(self)  # noqa: SLF001  the other half of one mechanism

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()


class Admission:
    """Lets so many render at once and so many wait, small pictures ahead of large ones, nobody for ever.

    1. All steps between two awaits run alone, since there is one event loop; there are no threads.
    2. Between steps nobody waits who may enter: whatever could change that (a place left, a waiter gone) ends with
       admitting all who may. So a newcomer who may enter passes nobody by.
    3. Nobody starves: who arrives later than another's allowance has the later deadline. It passes a giant only while
       giants hold all the places that giants may hold, and these are left in the end.
    4. Being admitted makes the place at once. A waiter cancelled between that and its next step leaves it again.
    5. Where there are two or more places, one is kept from giants and one from background work: so a small picture
       never finds all places held by either, at the price that a row of giants has one place less.
    """

    def __init__(
        self, places: int, *, waiting: int, waiting_megapixels: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take how many may be inside, and how many pictures and megapixels may wait."""
        self._places = places
        self._share = max(1, places - 1)
        """Places that giants may hold, or background work."""
        self._most_waiting = waiting
        self._most_pixels = _pixels(waiting_megapixels)
        self._clock = clock
        self._numbers = itertools.count()
        self._inside: set[Place] = set()
        # Apart, so that the first of each kind is at hand: by low, then by giant.
        self._lines: dict[tuple[bool, bool], list[_Waiter]] = {
            (low, giant): [] for low in (False, True) for giant in (False, True)
        }
        self._pixels = {False: 0, True: 0}
        """Waiting, by low."""
        self._guessed, self._took = 1.0, 1.0
        """Seconds inside of the last pictures, as guessed and as they were."""

    @property
    def places(self) -> int:
        """How many may be inside."""
        return self._places

    @property
    def free(self) -> int:
        """How many places nobody holds."""
        return self._places - len(self._inside)

    @property
    def waiting(self) -> int:
        """How many clients' pictures wait."""
        return self._count(low=False)

    @property
    def waiting_megapixels(self) -> float:
        """How many megapixels these have."""
        return self._pixels[False] / 1e6

    @property
    def low_waiting(self) -> int:
        """How many pieces of background work wait; they take nothing from the bounds for clients."""
        return self._count(low=True)

    @property
    def low_may_run(self) -> bool:
        """Whether no client's picture waits; else background work is to begin nothing, and to end soon."""
        return not self.waiting

    async def enter(self, megapixels: float, *, low: bool = False) -> Place:
        """Wait for a place to decode so many megapixels; `low` is background work, which lets all clients pass.

        Raises:
            Busy: as many, or as many megapixels, wait as may; at once.
        """
        pixels = _pixels(megapixels)
        if self._may_enter(giant=_is_giant(pixels), low=low):
            return self._admit(pixels, low=low)
        self._refuse_beyond_bounds(pixels, low=low)
        deadline = self._clock() + ALLOWANCE * megapixels
        waiter = _Waiter(deadline, next(self._numbers), pixels, low, asyncio.get_running_loop().create_future())
        insort(self._lines[low, waiter.giant], waiter)
        self._pixels[low] += pixels
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

    def _left(self, place: Place) -> None:
        self._inside.discard(place)
        self._guessed = _MEMORY * self._guessed + _guess(1, place.pixels)
        self._took = _MEMORY * self._took + max(0.0, self._clock() - place.entered)
        self._admit_waiting()

    def _admit_waiting(self) -> None:
        while (waiter := self._next()) is not None:
            self._forget(waiter)
            if not waiter.admitted.done():
                waiter.admitted.set_result(self._admit(waiter.pixels, low=waiter.low))

    def _next(self) -> _Waiter | None:
        first = (line[0] for line in self._lines.values() if line)
        return min((waiter for waiter in first if self._may_enter(giant=waiter.giant, low=waiter.low)), default=None)

    def _may_enter(self, *, giant: bool, low: bool) -> bool:
        if not self.free:
            return False
        if giant and sum(_is_giant(place.pixels) for place in self._inside) >= self._share:
            return False
        return not low or (self.low_may_run and sum(place.low for place in self._inside) < self._share)

    def _admit(self, pixels: int, *, low: bool) -> Place:
        place = Place(self, pixels, low=low, entered=self._clock())
        self._inside.add(place)
        return place

    def _forget(self, waiter: _Waiter) -> None:
        """Take a waiter out of its line, if it is still there."""
        line = self._lines[waiter.low, waiter.giant]
        at = bisect_left(line, waiter)
        if at < len(line) and line[at] is waiter:
            del line[at]
            self._pixels[waiter.low] -= waiter.pixels

    def _refuse_beyond_bounds(self, pixels: int, *, low: bool) -> None:
        count = self._count(low=low)
        # Alone, a picture of any size may wait: else one that is larger than the bound could never be made.
        if count >= self._most_waiting or (count and self._pixels[low] + pixels > self._most_pixels):
            raise Busy(retry_after=self._retry_after())

    def _retry_after(self) -> int:
        """Estimate when all that waits and is inside will be done, by what the last pictures took."""
        count = self.waiting + len(self._inside)
        pixels = self._pixels[False] + sum(place.pixels for place in self._inside)
        pace = self._took / self._guessed
        return min(_LONGEST_RETRY, max(1, math.ceil(pace * _guess(count, pixels) / self._places)))

    def _count(self, *, low: bool) -> int:
        return len(self._lines[low, False]) + len(self._lines[low, True])


def _pixels(megapixels: float) -> int:
    return round(megapixels * 1e6)


def _is_giant(pixels: int) -> bool:
    return pixels > GIANT_MEGAPIXELS * 1e6


def _guess(pictures: int, pixels: int) -> float:
    return pictures * _PICTURE_SECONDS + pixels / 1e6 * _MEGAPIXEL_SECONDS
