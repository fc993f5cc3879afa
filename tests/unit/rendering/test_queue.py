"""Who enters, who waits and in which order, by a clock that only the test moves."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest

from imgserve.errors import Busy
from imgserve.rendering.admission import ALLOWANCE, GIANT_MEGAPIXELS, IDLE_SECONDS, Admission, Slot

GIANT = 2 * GIANT_MEGAPIXELS


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def admission(slots: int, clock: Clock | None = None, *, waiting: int = 100, megapixels: float = 1e7) -> Admission:
    return Admission(slots, waiting=waiting, waiting_megapixels=megapixels, clock=clock or Clock())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@contextlib.contextmanager
def held(slot: Slot) -> Iterator[None]:
    try:
        yield
    finally:
        slot.leave()


async def queue(
    admission: Admission, megapixels: float, *, background: bool = False, brief: bool = False
) -> asyncio.Task[Slot]:
    task = asyncio.create_task(admission.enter(megapixels, background=background, brief=brief))
    await settle()
    return task


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


async def order_of(admission: Admission, clock: Clock, arrivals: Sequence[tuple[float, float]]) -> list[int]:
    """Queue (seconds after the one before, megapixels) behind a full queue, and return who entered in which order."""
    holding = [await admission.enter(0) for _ in range(admission.free)]
    tasks = []
    for after, megapixels in arrivals:
        clock.now += after
        tasks.append(await queue(admission, megapixels))
    for slot in holding[1:]:
        slot.leave()
    order: list[int] = []
    current = holding[0]
    while len(order) < len(tasks):
        current.leave()
        await settle()
        (number,) = (n for n, task in enumerate(tasks) if task.done() and n not in order)
        order.append(number)
        current = tasks[number].result()
    current.leave()
    return order


@pytest.mark.parametrize(
    ("arrivals", "order"),
    [
        ([(0, 1), (0, 1), (0, 1)], [0, 1, 2]),
        ([(0, 5), (1, 5), (1, 5)], [0, 1, 2]),
        ([(0, 24), (0, 1)], [1, 0]),
        ([(0, 24), (24 * ALLOWANCE - 0.1, 1)], [1, 0]),
        ([(0, 24), (24 * ALLOWANCE, 1)], [0, 1]),
        ([(0, 50), (1, 50), (1, 2), (5, 2)], [2, 0, 1, 3]),
        ([(0, 1e6), (1, 1)], [1, 0]),
        ([(0, 0), (0, 3), (0, 2), (0, 1)], [0, 3, 2, 1]),
    ],
)
def test_the_earliest_deadline_enters_first(arrivals: list[tuple[float, float]], order: list[int]) -> None:
    clock = Clock()
    assert asyncio.run(order_of(admission(1, clock), clock, arrivals)) == order


def test_a_giant_is_passed_only_by_who_comes_within_its_allowance() -> None:
    async def test() -> None:
        clock = Clock()
        open_rig = admission(1, clock)
        current = await open_rig.enter(1)
        giant = await queue(open_rig, GIANT)
        passed = 0
        while not giant.done():
            small = await queue(open_rig, 1)
            current.leave()
            await settle()
            if small.done():
                passed, current = passed + 1, small.result()
            clock.now += 0.1
        assert passed == pytest.approx((GIANT - 1) * ALLOWANCE / 0.1, abs=1)
        small.cancel()

    run(test)


def test_one_place_is_kept_from_giants() -> None:
    async def test() -> None:
        open_rig = admission(2)
        first = await open_rig.enter(GIANT)
        second = await queue(open_rig, GIANT)
        assert (open_rig.free, open_rig.waiting) == (1, 1)
        with held(await open_rig.enter(2)):
            assert not second.done()
        assert not second.done()
        first.leave()
        assert (await second).pixels == GIANT * 1e6

    run(test)


@pytest.mark.parametrize("megapixels", [0, 24, GIANT_MEGAPIXELS])
def test_what_cameras_deliver_is_no_giant(megapixels: float) -> None:
    async def test() -> None:
        open_rig = admission(2)
        for _ in range(2):
            await open_rig.enter(megapixels)
        assert open_rig.free == 0

    run(test)


def test_where_there_is_one_place_a_giant_may_have_it() -> None:
    async def test() -> None:
        open_rig = admission(1)
        with held(await open_rig.enter(GIANT)):
            assert open_rig.free == 0

    run(test)


def test_background_work_begins_only_when_no_client_waits() -> None:
    async def test() -> None:
        open_rig = admission(1)
        current = await open_rig.enter(1)
        background, client = await queue(open_rig, 0.1, background=True), await queue(open_rig, 24)
        assert (open_rig.waiting, client.done(), background.done()) == (1, False, False)
        current.leave()
        await settle()
        assert (client.done(), background.done(), open_rig.waiting) == (True, False, 0)
        client.result().leave()
        assert (await background).background

    run(test)


@pytest.mark.parametrize(
    ("since_client", "brief", "both"),
    [(0.0, True, False), (0.9 * IDLE_SECONDS, True, False), (IDLE_SECONDS, True, True), (IDLE_SECONDS, False, False)],
)
def test_one_place_is_kept_from_background_work_unless_it_is_brief_and_no_client_came_lately(
    since_client: float, brief: bool, both: bool
) -> None:
    async def test() -> None:
        clock = Clock()
        open_rig = admission(2, clock)
        (await open_rig.enter(1)).leave()
        clock.now += since_client
        background = await open_rig.enter(1, background=True)
        other = await queue(open_rig, 1, background=True, brief=brief)
        assert other.done() is both
        if not both:
            with held(await open_rig.enter(1)):
                assert open_rig.free == 0
        background.leave()
        await other

    run(test)


def test_brief_work_passes_work_that_may_not_enter_when_no_client_came_lately() -> None:
    async def test() -> None:
        clock = Clock()
        open_rig = admission(2, clock)
        (await open_rig.enter(1)).leave()
        await open_rig.enter(1, background=True)
        long = await queue(open_rig, 1, background=True)
        brief = await queue(open_rig, 2, background=True, brief=True)
        assert (long.done(), brief.done()) == (False, False)
        clock.now += IDLE_SECONDS
        latest = await queue(open_rig, 3, background=True, brief=True)
        assert (long.done(), brief.done(), latest.done()) == (False, True, False)

    run(test)


@pytest.mark.parametrize(
    ("waiting", "megapixels", "arrivals", "refused"),
    [
        (2, 1000, [1, 1, 1], [2]),
        (0, 1000, [1], [0]),
        (9, 30, [10, 20, 0.1], [2]),
        (9, 30, [10, 21, 20], [1]),
        (9, 30, [500], []),
        (9, 30, [500, 1], [1]),
        (9, 30, [1, 500], [1]),
        (9, 30, [30, 0, 0], []),
    ],
)
def test_as_many_and_as_many_megapixels_wait_as_may(
    waiting: int, megapixels: float, arrivals: list[float], refused: list[int]
) -> None:
    async def test() -> None:
        open_rig = admission(1, waiting=waiting, megapixels=megapixels)
        await open_rig.enter(1)
        tasks = [await queue(open_rig, size) for size in arrivals]
        assert [number for number, task in enumerate(tasks) if task.done()] == refused
        for number in refused:
            with pytest.raises(Busy):
                await tasks[number]
        for task in tasks:
            task.cancel()

    run(test)


def test_background_work_takes_no_room_from_clients() -> None:
    async def test() -> None:
        open_rig = admission(1, waiting=1, megapixels=10)
        current = await open_rig.enter(1)
        background = await queue(open_rig, 10, background=True)
        with pytest.raises(Busy):
            await open_rig.enter(1, background=True)
        client = await queue(open_rig, 10)
        assert (background.done(), client.done()) == (False, False)
        for slot in (current, background, client):
            (await slot if isinstance(slot, asyncio.Task) and slot is client else current).leave()
        await background

    run(test)


@pytest.mark.parametrize(
    ("slots", "seconds", "waiting", "told"),
    [(1, 0.0, [1], range(1, 2)), (1, 1.0, [10] * 20, range(15, 26)), (4, 1.0, [10] * 20, range(4, 8))],
)
def test_whoever_is_refused_is_reported_when_what_waits_will_be_done(
    slots: int, seconds: float, waiting: list[float], told: range
) -> None:
    async def test() -> None:
        clock = Clock()
        open_rig = admission(slots, clock, waiting=len(waiting))
        for _ in range(100):
            with held(await open_rig.enter(10)):
                clock.now += seconds
        for _ in range(slots):
            await open_rig.enter(10)
        tasks = [await queue(open_rig, megapixels) for megapixels in waiting]
        with pytest.raises(Busy) as caught:
            await open_rig.enter(10)
        assert caught.value.retry_after in told
        for task in tasks:
            task.cancel()

    run(test)


def test_a_client_that_leaves_frees_its_room() -> None:
    async def test() -> None:
        open_rig = admission(1, waiting=1)
        current = await open_rig.enter(1)
        gone = await queue(open_rig, 7.7)
        gone.cancel()
        await settle()
        assert (open_rig.waiting, open_rig._pixels[False]) == (0, 0)
        other = await queue(open_rig, 1)
        current.leave()
        (await other).leave()
        assert open_rig.free == 1

    run(test)


@pytest.mark.parametrize("cancelled_first", [True, False])
def test_a_place_given_to_a_client_that_leaves_in_the_same_moment_goes_to_the_next(*, cancelled_first: bool) -> None:
    async def test() -> None:
        open_rig = admission(1)
        current = await open_rig.enter(1)
        gone, other = await queue(open_rig, 1), await queue(open_rig, 1)
        for act in (gone.cancel, current.leave) if cancelled_first else (current.leave, gone.cancel):
            act()
        await settle()
        assert gone.cancelled()
        assert other.done()

    run(test)


def test_a_waiter_that_is_closed_with_its_loop_leaves_nothing_behind() -> None:
    async def test() -> None:
        open_rig = admission(1)
        current = await open_rig.enter(1)
        entering = open_rig.enter(1)
        entering.send(None)
        entering.close()
        assert (open_rig.waiting, open_rig._pixels[False]) == (0, 0)
        current.leave()
        assert open_rig.free == 1

    run(test)


def test_a_giant_that_gives_up_waiting_lets_background_work_begin() -> None:
    async def test() -> None:
        open_rig = admission(2)
        await open_rig.enter(GIANT)
        giant, background = await queue(open_rig, GIANT), await queue(open_rig, 1, background=True)
        assert not background.done()
        giant.cancel()
        await background

    run(test)


def test_leaving_twice_is_leaving_once() -> None:
    async def test() -> None:
        open_rig = admission(2)
        slot, _ = await open_rig.enter(1), await open_rig.enter(1)
        slot.leave()
        slot.leave()
        assert open_rig.free == 1

    run(test)
