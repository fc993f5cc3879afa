"""Single flight."""

import asyncio
import traceback

import anyio
import anyio.lowlevel
import pytest

from imgserve.cache.locks import SingleFlight

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Work:
    """Something to do once, that waits until it is let go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go = asyncio.Event()
        self.error = error
        self.calls = 0
        self.cancelled = 0
        self.finished = 0

    async def __call__(self) -> int:
        self.calls += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        self.finished += 1
        return self.calls


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_five_hundred_callers_cause_one_call() -> None:
    flights, work = SingleFlight[str, int](), Work()
    callers = [asyncio.create_task(flights.do("k", work)) for _ in range(500)]
    await settle()
    work.go.set()
    outcomes = await asyncio.gather(*callers)
    assert work.calls == 1
    assert [result for result, _ in outcomes] == [1] * 500
    assert [shared for _, shared in outcomes].count(False) == 1
    assert not flights.is_flying("k")


async def test_different_keys_fly_on_their_own() -> None:
    flights, work = SingleFlight[str, int](), Work()
    work.go.set()
    await asyncio.gather(flights.do("a", work), flights.do("b", work))
    assert work.calls == 2


async def test_calls_one_after_the_other_each_do_the_work() -> None:
    flights, work = SingleFlight[str, int](), Work()
    work.go.set()
    assert [await flights.do("k", work) for _ in range(3)] == [(1, False), (2, False), (3, False)]


async def test_an_error_is_shared_and_its_traceback_does_not_grow() -> None:
    flights, work = SingleFlight[str, int](), Work(ValueError("broken"))
    callers = [asyncio.create_task(flights.do("k", work)) for _ in range(100)]
    await settle()
    work.go.set()
    lengths = set()
    for caller in callers:
        with pytest.raises(ValueError, match="broken") as caught:
            await caller
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert max(lengths) < 10
    assert work.calls == 1


async def test_after_an_error_the_key_is_free() -> None:
    flights, work = SingleFlight[str, int](), Work(ValueError("broken"))
    work.go.set()
    with pytest.raises(ValueError, match="broken"):
        await flights.do("k", work)
    work.error = None
    assert await flights.do("k", work) == (2, False)


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_a_caller_that_leaves_takes_nothing_from_the_others(leaver: int) -> None:
    flights, work = SingleFlight[str, int](), Work()
    callers = [asyncio.create_task(flights.do("k", work)) for _ in range(3)]
    await settle()
    callers.pop(leaver).cancel()
    await settle()
    work.go.set()
    assert [result for result, _ in await asyncio.gather(*callers)] == [1, 1]
    assert work.cancelled == 0


async def test_a_caller_that_leaves_by_a_scope_takes_nothing_from_the_others() -> None:
    flights, work = SingleFlight[str, int](), Work()
    stays = asyncio.create_task(flights.do("k", work))
    await settle()
    with anyio.move_on_after(0.01):
        await flights.do("k", work)
    work.go.set()
    assert await stays == (1, False)


async def test_when_the_last_caller_leaves_the_work_is_cancelled_and_the_key_free() -> None:
    flights, work = SingleFlight[str, int](), Work()
    callers = [asyncio.create_task(flights.do("k", work)) for _ in range(3)]
    await settle()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    assert not flights.is_flying("k")
    await settle()
    assert (work.calls, work.cancelled) == (1, 1)


async def test_a_newcomer_after_the_last_left_starts_a_new_flight_while_the_old_one_still_ends() -> None:
    flights, new, may_end, ended = SingleFlight[str, int](), Work(), asyncio.Event(), asyncio.Event()

    async def stubborn() -> int:
        with anyio.CancelScope(shield=True):
            await may_end.wait()
            ended.set()
        await anyio.lowlevel.checkpoint()
        raise AssertionError("the cancellation was lost")

    leaver = asyncio.create_task(flights.do("k", stubborn))
    await settle()
    leaver.cancel()
    await settle()
    first = asyncio.create_task(flights.do("k", new))
    await settle()
    assert (new.calls, ended.is_set()) == (1, False)
    may_end.set()
    await settle()
    assert ended.is_set()
    # The end of the old flight must not have taken the new one of the same key from the table.
    second = asyncio.create_task(flights.do("k", new))
    await settle()
    new.go.set()
    assert list(await asyncio.gather(first, second)) == [(1, False), (1, True)]
    assert not flights.is_flying("k")


async def test_work_is_not_begun_for_a_caller_that_left_at_once() -> None:
    flights, work = SingleFlight[str, int](), Work()
    caller = asyncio.create_task(flights.do("k", work))
    await asyncio.sleep(0)
    caller.cancel()
    await settle()
    assert not flights.is_flying("k")
    assert work.calls == work.cancelled


async def test_an_error_that_nobody_waits_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    flights = SingleFlight[str, int]()
    may_fail = asyncio.Event()

    async def fails_late() -> int:
        with anyio.CancelScope(shield=True):
            await may_fail.wait()
        raise ValueError("too late")

    caller = asyncio.create_task(flights.do("k", fails_late))
    await settle()
    caller.cancel()
    await settle()
    may_fail.set()
    await settle()
    assert "too late" in caplog.text
