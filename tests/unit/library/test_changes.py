"""Whose turn it is."""

import anyio
import pytest

from imgserve.library.changes import ChangeQueue

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def pending() -> ChangeQueue:
    return ChangeQueue()


async def _taken(pending: ChangeQueue) -> str:
    return (await pending.take())[0].image_id


async def test_what_was_reported_comes_in_order_and_once(pending: ChangeQueue) -> None:
    for image_id in ("b", "a", "b"):
        pending.add(image_id)
    assert [await _taken(pending), await _taken(pending)] == ["b", "a"]
    assert len(pending) == 2


async def test_what_is_reported_again_while_it_is_looked_at_is_looked_at_again(pending: ChangeQueue) -> None:
    pending.add("a")
    [item] = await pending.take()
    pending.add("a")
    pending.done(item)
    assert await _taken(pending) == "a"


async def test_what_a_walk_found_is_taken_apart_until_it_is_reported(pending: ChangeQueue) -> None:
    await pending.add_found("a", "1_1")
    await pending.add_found("b", "1_1")
    pending.add("b")
    assert await _taken(pending) == "b"
    assert [item.image_id for item in await pending.take_many(9)] == ["a"]


async def test_many_that_are_reported_are_taken_together(pending: ChangeQueue) -> None:
    for number in range(30):
        pending.add(str(number))
    assert len(await pending.take_many(25)) == 25


async def test_what_is_put_off_comes_when_it_is_due(pending: ChangeQueue) -> None:
    pending.add("a")
    pending.put_off((await pending.take())[0], 0.05)
    began = anyio.current_time()
    with anyio.fail_after(30):
        assert await _taken(pending) == "a"
    assert anyio.current_time() - began >= 0.04


async def test_a_walk_waits_while_much_is_pending(pending: ChangeQueue) -> None:
    async def walk() -> None:
        for number in range(2500):
            await pending.add_found(str(number), "1_1")

    async with anyio.create_task_group() as group:
        group.start_soon(walk)
        await anyio.sleep(0.1)
        assert len(pending) == 2000
        for _ in range(50):
            for item in await pending.take_many(50):
                pending.done(item)
    assert len(pending) == 0


async def test_every_one_that_waits_is_woken(pending: ChangeQueue) -> None:
    taken = list[str]()

    async def work() -> None:
        taken.append(await _taken(pending))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(work)
            await anyio.sleep(0.01)
            for image_id in ("a", "b", "c"):
                pending.add(image_id)
                await anyio.sleep(0.01)
    assert taken == ["a", "b", "c"]


async def test_versions_are_expected_until_they_are_done(pending: ChangeQueue) -> None:
    pending.add("a", "1_1")
    pending.add("b", "1_1")
    pending.done((await pending.take())[0])
    assert pending.expects("1_1")
    [item] = await pending.take()
    pending.saw(item, "2_2")
    assert pending.expects("2_2")
    pending.done(item)
    assert not pending.expects("1_1")
    assert not pending.expects("2_2")


async def test_what_was_put_off_twice_keeps_nobody_waiting(pending: ChangeQueue) -> None:
    pending.add("a")
    number = pending.order
    for _ in range(2):
        assert pending.oldest <= number
        pending.put_off((await pending.take())[0], 0)
    assert pending.oldest > number


@pytest.mark.parametrize(("waiting", "taken"), [(1, 1), (3, 1), (4, 4), (100, 50)])
async def test_a_crowd_that_was_reported_is_taken_together(pending: ChangeQueue, waiting: int, taken: int) -> None:
    ids = [f"{number:03}" for number in range(waiting)]
    for image_id in ids:
        pending.add(image_id)
    assert [item.image_id for item in await pending.take(50)] == ids[:taken]
