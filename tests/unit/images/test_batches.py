"""Several things worked on at once, with results in order, and an end to all of it when nobody reads on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from imgserve.images.batches import map_ordered


async def numbers(most: int) -> AsyncIterator[int]:
    for number in range(most):
        yield number


def test_results_come_in_order_however_long_each_takes() -> None:
    async def body() -> None:
        running = most = 0

        async def work(number: int) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01 * ((number * 7) % 4))
            running -= 1
            return number * number

        found = [result async for result in map_ordered(numbers(20), work, at_once=3)]
        assert found == [number * number for number in range(20)]
        assert most == 3

    asyncio.run(body())


def test_closing_ends_what_is_worked_on_and_begins_nothing_more() -> None:
    async def body() -> None:
        begun, ended = list[int](), list[int]()

        async def work(number: int) -> int:
            begun.append(number)
            try:
                await asyncio.sleep(0 if number == 0 else 60)
            finally:
                ended.append(number)
            return number

        results = map_ordered(numbers(100), work, at_once=3)
        async with contextlib.aclosing(results):
            assert await anext(results) == 0
        assert sorted(begun) == sorted(ended) == [0, 1, 2]

    asyncio.run(body())


def test_an_error_ends_all() -> None:
    async def body() -> None:
        async def work(number: int) -> int:
            if number == 2:
                raise KeyError(number)
            return number

        with pytest.raises(KeyError):
            [result async for result in map_ordered(numbers(9), work, at_once=2)]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(body())
