"""Work on imports in the background: claim images, fetch several at a time, try again, fail."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio

from imgserve.catalog import Catalog, StoredItem, StoredJob
from imgserve.errors import (
    CatalogUnavailable,
    FetchFailed,
    ImageExists,
    ImgserveError,
    RenderTimeout,
    StorageFull,
    Unavailable,
)
from imgserve.jobs.fetch import Claimed, ImageFetcher
from imgserve.jobs.pace import Pace, Turns

_logger = logging.getLogger(__name__)
_LEASE = timedelta(seconds=60)
_HEARTBEAT = 15.0
_LOOK_SECONDS = 1.0
"""Until new work is found that another process has added."""
_GATHER_SECONDS = 0.1
"""After an image, so that the next ones are claimed together."""
_STORED_AT_ONCE = 3
"""Claimed images for each one that is fetched: the others are inspected and recorded."""
_LONGEST_DELAY = 600.0
_SLOW_AFTER = 3
"""Failures of a host in succession after which all images of the job wait for it."""
_HOPELESS_AFTER = 20
"""Failures of a host in succession after which each of its images is tried once."""
_LONGEST_SLOWDOWN = 30.0
_OWN = (Unavailable, StorageFull)
"""Errors of this server: the image is tried again as long as they last."""
_PASSING = (ImageExists, RenderTimeout)
"""Another image has just been stored under the chosen id, or the machine was too busy to inspect the image in time."""


class ImportRunner:
    """Fetches the images of running imports. One process of a node runs it; nodes share the work by their claims."""

    def __init__(self, catalog: Catalog, fetcher: ImageFetcher, pace: Pace, owner: str) -> None:
        """`owner` names the node: when it starts again, what it had claimed is free."""
        self._catalog, self.queue = catalog, catalog.import_queue
        self._fetcher = fetcher
        self.pace = pace
        self._owner = owner
        self._failing = set[tuple[str, str]]()
        """Jobs and hosts whose last request failed."""
        self._tasks = set[asyncio.Task[None]]()
        self._wake = asyncio.Event()
        self._turns = Turns(pace, self._wake.set)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._patiently(self._release)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._extend_claims)
                await self.find_work()
        finally:
            for task in self._tasks:
                task.cancel()
            with anyio.move_on_after(_LOOK_SECONDS, shield=True):
                await asyncio.gather(*self._tasks, return_exceptions=True)
                with contextlib.suppress(CatalogUnavailable):
                    await self._release()

    async def work(self, numbers: Collection[int]) -> Sequence[asyncio.Task[None]]:
        """Claim images, and start to work on them; return the tasks of those that were claimed."""
        items = await self.queue.claim(numbers, self._owner, datetime.now(UTC) + _LEASE)
        imports, jobs = self._catalog.imports, dict[str, StoredJob | None]()
        for job_id in {item.job for item in items}:
            jobs[job_id] = await imports.get(job_id)
        rows, earlier = await imports.rows_of(items), await self.queue.earlier(items)
        tasks = list[asyncio.Task[None]]()
        for item in items:
            if (job := jobs[item.job]) is not None:
                row, turn = rows.get((item.job, item.row)), self._turns.take(item.host)
                tasks.append(asyncio.create_task(self._work(Claimed(item, job, row, earlier.get(item.key), turn))))
        for task in tasks:
            self._tasks.add(task)
            task.add_done_callback(self._done)
        return tasks

    async def find_work(self) -> None:
        """Claim images as long as some can be fetched."""
        while True:
            claimed, most, busy = False, self.pace.concurrency, self._turns.hosts
            free = min(most - busy.total(), _STORED_AT_ONCE * most - len(self._tasks))
            self._wake.clear()
            with contextlib.suppress(CatalogUnavailable):
                if free > 0 and (numbers := await self.queue.candidates(free, per_host=self.pace.per_host, busy=busy)):
                    claimed = bool(await self.work(numbers))
            if not claimed:
                with anyio.move_on_after(_LOOK_SECONDS):
                    await self._wake.wait()
            await anyio.sleep(_GATHER_SECONDS)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _work(self, claimed: Claimed) -> None:
        each = claimed.job.each_product
        try:
            outcome, host = await self._outcome(claimed.item, lambda: self._fetcher.fetch(claimed))
            await self._patiently(lambda: self.queue.finish(outcome, host, each_product=each))
        finally:
            claimed.turn.end()

    async def _outcome(
        self, item: StoredItem, fetch: Callable[[], Awaitable[StoredItem]]
    ) -> tuple[StoredItem, tuple[int, datetime | None, str] | None]:
        """Return the item after an attempt, and what that says about its host."""
        try:
            return await fetch(), self._works(item)
        except _OWN as error:
            own = replace(item, state="queued", attempts=item.attempts - 1, reason=error.detail)
            return self._later(own, self._delay(3)), None
        except FetchFailed as error:
            failed = replace(item, state="failed", status=error.upstream, reason=error.detail)
            if not error.again:
                return failed, self._works(item) if error.upstream else None
            return await self._after_failure(failed, error)
        except ImgserveError as error:
            failed = replace(item, state="failed", reason=error.detail)
            return self._again(failed, 0.0) if isinstance(error, _PASSING) else failed, None
        except Exception:
            # The edge of a task: the failure is one of this image.
            _logger.exception("%s could not be imported", item.url)
            failed = replace(item, state="failed", reason="This server failed; its log has the cause.")
            return self._again(failed, 0.0), None

    async def _after_failure(
        self, item: StoredItem, error: FetchFailed
    ) -> tuple[StoredItem, tuple[int, datetime | None, str]]:
        """Return a failed item that may be tried again, and when its host may be."""
        self._failing.add((item.job, item.host))
        failures = 1 + await self.queue.failures(item.job, item.host)
        slow = min(_LONGEST_SLOWDOWN, self.pace.retry_delay * 2 ** min(failures - _SLOW_AFTER, 10))
        wait = max(error.wait, slow if failures >= _SLOW_AFTER else 0.0)
        until = datetime.now(UTC) + timedelta(seconds=min(wait, _LONGEST_DELAY)) if wait else None
        again = item if failures >= _HOPELESS_AFTER else self._again(item, error.wait)
        return again, (failures, until, error.detail)

    def _works(self, item: StoredItem) -> tuple[int, datetime | None, str] | None:
        """Return that a host has responded, if it has failed before."""
        failed = (item.job, item.host) in self._failing
        self._failing.discard((item.job, item.host))
        return (0, None, "") if failed else None

    def _again(self, item: StoredItem, wait: float) -> StoredItem:
        """Return a failed item that is queued again, unless that was the last attempt."""
        if item.attempts >= self.pace.attempts:
            return item
        return self._later(replace(item, state="queued"), max(wait, self._delay(item.attempts)))

    def _delay(self, attempts: int) -> float:
        """Return a pause that doubles with each attempt, and differs between images."""
        return self.pace.retry_delay * float(2 ** (attempts - 1)) * random.uniform(0.5, 1.5)

    def _later(self, item: StoredItem, seconds: float) -> StoredItem:
        return replace(item, due=datetime.now(UTC) + timedelta(seconds=min(seconds, _LONGEST_DELAY)))

    async def _extend_claims(self) -> None:
        while True:
            await anyio.sleep(_HEARTBEAT)
            with contextlib.suppress(CatalogUnavailable):
                await self.queue.extend(self._owner, datetime.now(UTC) + _LEASE)
                if number := await self.queue.release():
                    _logger.warning("%d images of imports are fetched again: their node is gone", number)

    async def _release(self) -> None:
        await self.queue.release(self._owner)

    async def _patiently(self, change: Callable[[], Awaitable[object]]) -> None:
        """Make a change as soon as the catalog can be used."""
        while True:
            try:
                await change()
            except CatalogUnavailable:
                await anyio.sleep(_LOOK_SECONDS)
            else:
                return
