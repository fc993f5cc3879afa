"""Locks by name: one at a time, in no circle, and nothing left of those that nobody holds."""

import asyncio
import random

from imgserve.library.record import NameLocks


def test_one_at_a_time_holds_a_name_and_many_names_never_block_for_ever() -> None:
    async def body() -> None:
        locks, held, draw = NameLocks(), set[str](), random.Random(1)

        async def work(names: list[str]) -> None:
            async with locks.hold(*names):
                assert not held & set(names)
                held.update(names)
                await asyncio.sleep(0)
                held.difference_update(names)

        async with asyncio.timeout(20):
            await asyncio.gather(*(work(draw.sample("abcdefg", draw.randint(1, 5))) for _ in range(300)))
        assert len(locks) == 0

    asyncio.run(body())


def test_a_name_is_held_beside_others_only_if_it_is_free() -> None:
    async def body() -> None:
        locks = NameLocks()
        async with locks.hold("a"), locks.hold_if_free("a") as again, locks.hold_if_free("b") as other:
            assert (again, other) == (False, True)
        assert len(locks) == 0

    asyncio.run(body())


def test_who_stops_waiting_leaves_nothing() -> None:
    async def body() -> None:
        locks = NameLocks()

        async def wait() -> None:
            async with locks.hold("a"):
                raise AssertionError("it is held by another")

        async with locks.hold("a"):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        assert len(locks) == 0

    asyncio.run(body())
