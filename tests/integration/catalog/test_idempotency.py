"""Keys of requests that may be repeated."""

import asyncio
from datetime import timedelta

import pytest

from imgserve.catalog.idempotency import KEPT, LOST, MOST_BYTES, Answered
from imgserve.errors import IdempotencyConflict
from tests.catalogs import START, Catalog, opened

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)


async def test_a_repeated_request_gets_the_answer_of_the_first(catalog: Catalog) -> None:
    assert await catalog.idempotency.begin("key \ud800", "f") is None
    body = bytes(range(256)) * 4096
    assert await catalog.idempotency.finish("key \ud800", 201, {"location": "/ü"}, body)
    assert await catalog.idempotency.begin("key \ud800", "f") == Answered(201, {"location": "/ü"}, body)


async def test_the_digest_of_a_streamed_body_is_stored_with_the_answer(catalog: Catalog) -> None:
    await catalog.idempotency.begin("k", "f")
    await catalog.idempotency.finish("k", 200, {}, b"x", body_digest="7-abc")
    assert await catalog.idempotency.begin("k", "f") == Answered(200, {}, b"x", "7-abc")
    with pytest.raises(IdempotencyConflict, match="another request"):
        await catalog.idempotency.begin("k", "g")


async def test_the_same_key_with_another_request_is_a_conflict(catalog: Catalog) -> None:
    await catalog.idempotency.begin("k", "f")
    with pytest.raises(IdempotencyConflict, match="still being answered"):
        await catalog.idempotency.begin("k", "f")
    with pytest.raises(IdempotencyConflict, match="another request"):
        await catalog.idempotency.begin("k", "g")
    await catalog.idempotency.finish("k", 200, {}, b"")
    with pytest.raises(IdempotencyConflict, match="another request"):
        await catalog.idempotency.begin("k", "g")


async def test_a_request_whose_process_died_is_taken_over(catalog: Catalog) -> None:
    await catalog.idempotency.begin("k", "f", at=START)
    with pytest.raises(IdempotencyConflict):
        await catalog.idempotency.begin("k", "f", at=START + LOST)
    assert await catalog.idempotency.begin("k", "f", at=START + LOST + SECOND) is None
    with pytest.raises(IdempotencyConflict):
        await catalog.idempotency.begin("k", "f", at=START + LOST + 2 * SECOND)


async def test_answers_are_given_for_a_day(catalog: Catalog) -> None:
    await catalog.idempotency.begin("k", "f", at=START)
    await catalog.idempotency.finish("k", 200, {}, b"x")
    assert await catalog.idempotency.begin("k", "f", at=START + KEPT) is not None
    assert await catalog.idempotency.begin("k", "g", at=START + KEPT + SECOND) is None
    assert await catalog.idempotency.prune(START + KEPT) == 0
    assert await catalog.idempotency.prune(START + KEPT + 2 * SECOND) == 1
    assert await catalog.idempotency.begin("k", "h") is None


async def test_a_request_that_changed_nothing_can_be_tried_again(catalog: Catalog) -> None:
    await catalog.idempotency.begin("k", "f")
    await catalog.idempotency.abandon("k")
    assert await catalog.idempotency.begin("k", "g") is None
    await catalog.idempotency.finish("k", 200, {}, b"")
    await catalog.idempotency.abandon("k")
    assert await catalog.idempotency.begin("k", "g") == Answered(200, {}, b"")


async def test_an_answer_that_is_too_large_is_not_kept(catalog: Catalog) -> None:
    await catalog.idempotency.begin("k", "f")
    assert not await catalog.idempotency.finish("k", 200, {}, bytes(MOST_BYTES + 1))
    assert await catalog.idempotency.begin("k", "f") is None


async def test_of_many_that_come_at_once_over_several_connections_one_begins(address: str) -> None:
    async with opened(address) as one, opened(address) as other:
        tries = [catalog.idempotency.begin("k", "f") for catalog in (one, other) for _ in range(10)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert results.count(None) == 1
        assert sum(isinstance(result, IdempotencyConflict) for result in results) == 19
