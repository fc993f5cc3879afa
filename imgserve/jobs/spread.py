"""Spread the images of imports over several nodes by a queue of SAQ in Redis or PostgreSQL.

A message has the number of a row alone. The rows decide: a message that is lost is sent again when its time is over,
and one that comes twice finds its image claimed.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from redis.asyncio import Redis
from saq import Worker
from saq.queue.base import Queue
from saq.queue.postgres import PostgresQueue
from saq.queue.redis import RedisQueue

from imgserve.catalog import Catalog
from imgserve.errors import CatalogUnavailable
from imgserve.jobs.fetch import ImageFetcher
from imgserve.jobs.pace import Pace
from imgserve.jobs.runner import ImportRunner

_logger = logging.getLogger(__name__)
_NAME = "imgserve-imports"
_FUNCTION = "import"
_OFFER = timedelta(seconds=60)
"""After this time a message is lost, and its image is offered again."""
_MESSAGE_SECONDS = 600
"""After this time the queue forgets a message whose worker is gone."""
_PAUSE = 0.5
_ALL = 1_000_000


class _Worker(Worker[Any]):
    """A worker that leaves the signals of the process to the server."""

    SIGNALS = []  # noqa: RUF012  as in the base


class SpreadRunner(ImportRunner):
    """Offers images by messages, which the runners of all nodes receive."""

    def __init__(self, catalog: Catalog, fetcher: ImageFetcher, pace: Pace, owner: str, url: str) -> None:
        """`url` is that of Redis or of a PostgreSQL database."""
        super().__init__(catalog, fetcher, pace, owner)
        self._url = url

    async def find_work(self) -> None:
        """Offer images, and work on those of the messages received."""
        messages = _queue_at(self._url)
        await messages.connect()
        worker = _Worker(messages, [(_FUNCTION, self._receive)], concurrency=self.pace.concurrency)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(worker.start)
                while True:
                    await self._offer(messages)
                    await anyio.sleep(_PAUSE)
        finally:
            with anyio.CancelScope(shield=True):
                await worker.stop()
                await messages.disconnect()

    async def _offer(self, messages: Queue) -> None:
        try:
            if await messages.count("queued") >= self.pace.concurrency:
                return
            numbers = await self.queue.candidates(2 * self.pace.concurrency, per_host=_ALL, busy={})
            offered = await self.queue.offer(numbers, datetime.now(UTC) + _OFFER) if numbers else []
            for number in offered:
                await messages.enqueue(_FUNCTION, number=number, timeout=_MESSAGE_SECONDS, retries=1, ttl=-1)
        except CatalogUnavailable:
            pass
        except Exception as error:  # noqa: BLE001  both kinds of queues have errors of their own
            _logger.warning("the queue of imports cannot be used now: %s", error)

    async def _receive(self, _context: object, *, number: int) -> None:
        """Work on the image of a message."""
        tasks = await self.work([number])
        if tasks:
            await asyncio.wait(tasks)


def _queue_at(url: str) -> Queue:
    if url.startswith("postgres"):
        return PostgresQueue(url=url, name=_NAME)
    return RedisQueue(Redis.from_url(url), name=_NAME)
