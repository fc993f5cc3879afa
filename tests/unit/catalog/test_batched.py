"""Calls that run together, in batches."""

import asyncio
from collections.abc import Sequence

import pytest

from imgserve.catalog import Batched
from imgserve.errors import CatalogUnavailable

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Doubled:
    """A function of many numbers that notes its calls, fails for some, and waits for a gate."""

    def __init__(self) -> None:
        self.calls = list[list[int]]()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.calls.append(list(numbers))
        await self.gate.wait()
        if 13 in numbers:
            raise ValueError("unlucky")
        if 0 in numbers:
            raise CatalogUnavailable
        return [2 * number for number in numbers]


async def test_calls_that_come_during_a_run_make_the_next_one() -> None:
    doubled = Doubled()
    batched = Batched(doubled)
    doubled.gate.clear()
    first = asyncio.create_task(batched(1))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(batched(number)) for number in (2, 3, 2)]
    await asyncio.sleep(0.01)
    doubled.gate.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 4]
    assert doubled.calls == [[1], [2, 3, 2]]


async def test_a_call_that_waits_runs_with_one_in_a_hurry() -> None:
    doubled = Doubled()
    batched = Batched(doubled)
    patient = [asyncio.create_task(batched(number, wait=60)) for number in (1, 2)]
    await asyncio.sleep(0.01)
    assert doubled.calls == []
    assert await batched(3) == 6
    assert await asyncio.gather(*patient) == [2, 4]
    assert doubled.calls == [[1, 2, 3]]


async def test_a_hundred_calls_do_not_wait_for_more() -> None:
    doubled = Doubled()
    batched = Batched(doubled)
    found = await asyncio.gather(*(batched(number + 20, wait=60) for number in range(100)))
    assert found == [2 * (number + 20) for number in range(100)]
    assert len(doubled.calls) == 1


async def test_a_call_that_fails_does_not_fail_the_others() -> None:
    doubled = Doubled()
    batched = Batched(doubled)
    found = await asyncio.gather(*map(batched, (1, 13, 2)), return_exceptions=True)
    assert (found[0], found[2]) == (2, 4)
    assert isinstance(found[1], ValueError)
    assert doubled.calls == [[1, 13, 2], [1], [13], [2]]


async def test_without_the_catalog_every_call_fails_at_once() -> None:
    doubled = Doubled()
    batched = Batched(doubled)
    found = await asyncio.gather(*map(batched, (1, 0)), return_exceptions=True)
    assert [type(one) for one in found] == [CatalogUnavailable] * 2
    assert doubled.calls == [[1, 0]]


async def test_a_caller_that_leaves_does_not_end_its_batch() -> None:
    doubled = Doubled()
    batched = Batched(doubled)
    doubled.gate.clear()
    leaving, staying = (asyncio.create_task(batched(number)) for number in (1, 2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0)
    doubled.gate.set()
    assert await staying == 4
    assert leaving.cancelled()
