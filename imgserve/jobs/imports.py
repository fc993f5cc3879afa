"""Create, control and follow imports."""

import logging
import re
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import BinaryIO

import anyio
from anyio import to_thread

from imgserve.catalog import Catalog, ImportRow, StoredItem, StoredJob, item_key
from imgserve.errors import AddressRefused, ImportNotFound, WrongState
from imgserve.images.warm import Warmer
from imgserve.jobs.fetch import who_imports
from imgserve.jobs.table import Table, TableLimits, TableRow, host_of
from imgserve.library.ingest import IngestService
from imgserve.records import ImportProgress

_logger = logging.getLogger(__name__)
_ID = re.compile(r"[0-9a-f]{16}")
"""No database stores every text of a path."""
_ROWS = 500
"""Rows that are stored in one transaction."""
_IMAGES = 1000
LOOK_SECONDS = 0.25
"""Between two looks: at most four changes are reported in a second."""
_WINDOW = 20.0
"""Seconds of which the rate is."""
ENDED = frozenset({"finished", "cancelled", "deleting"})
"""The states in which nothing more happens by itself."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a table is imported."""

    name: str = ""
    output: str = ""
    refresh: bool = False
    webhook: str = ""
    each_product: bool = False


@dataclass(frozen=True, slots=True)
class ImportService:
    """Creates and controls imports. Every method but `create` raises ImportNotFound if there is no such import."""

    catalog: Catalog
    ingest: IngestService
    warmer: Warmer
    limits: TableLimits
    enabled: bool = True

    async def create(self, file: BinaryIO, options: ImportOptions, who: str) -> StoredJob:
        """Store a table as an import, which begins when all rows are stored; return it.

        Raises:
            AddressRefused: this server does not fetch, or the webhook is not the URL of a server.
            BadTransform: the output has mistakes.
            BadRequest, BodyTooLarge: the table cannot be read, or is too large.
        """
        if not self.enabled:
            raise AddressRefused("This server does not fetch pictures from addresses.")
        if options.output:
            self.warmer.queries([], [options.output])
        if options.webhook:
            host_of(options.webhook)
        now, job_id = datetime.now(UTC), secrets.token_hex(8)
        job = StoredJob(job_id=job_id, state="loading", who=who, created=now, changed=now, **asdict(options))
        await self.catalog.imports.create(job)
        table = Table(file, self.limits)
        try:
            rows, number = table.rows(), 0
            while some := await to_thread.run_sync(lambda: list(islice(rows, _ROWS))):
                numbered = list(enumerate(some, number))
                number += len(some)
                added = [_row(job_id, one, row) for one, row in numbered]
                await self.catalog.imports.add(added, _items(job_id, numbered, now))
        except BaseException:
            await self.catalog.imports.delete(job_id)
            raise
        await self.catalog.imports.start(job_id, table.headers, asdict(table.totals))
        _logger.info("import %s of %d images was started by %s", job_id, table.totals.images, who)
        return await self.get(job_id)

    async def get(self, job_id: str) -> StoredJob:
        """Return an import."""
        job = await self.catalog.imports.get(job_id) if _ID.fullmatch(job_id) else None
        if job is None:
            raise ImportNotFound
        return job

    async def change_state(self, job_id: str, before: Collection[str], after: str) -> StoredJob:
        """Change the state of an import, and return it; raise WrongState if it has none of the former states."""
        job = await self.get(job_id)
        if not await self.catalog.imports.change_state(job_id, before, after) and job.state != after:
            raise WrongState(f"The import is {job.state}; expected {' or '.join(before)}.")
        return await self.get(job_id)

    async def retry(self, job_id: str, product: str, item: int | None) -> int:
        """Queue failed and cancelled images again, of the import, a product or one; return how many."""
        await self.get(job_id)
        return await self.catalog.imports.retry(job_id, product=product, item=item)

    async def delete(self, job_id: str, *, images: bool) -> int:
        """Delete an import, with `images` also those that it has stored; return how many images were deleted."""
        await self.get(job_id)
        await self.catalog.imports.change_state(job_id, ("running", "paused"), "cancelled")
        deleted, cursor = 0, None
        while images:
            found, cursor = await self.catalog.imports.items(job_id, states=("stored",), limit=_IMAGES, cursor=cursor)
            records = await self.catalog.images.get_many([item.image_id for item in found])
            own = [image_id for image_id, record in records.items() if record.who == who_imports(job_id)]
            deleted += len(await self.ingest.delete_many(own)) if own else 0
            images = cursor is not None
        await self.catalog.imports.delete(job_id)
        return deleted

    async def follow(self, job_id: str, known: str = "") -> AsyncGenerator[ImportProgress | None]:
        """Yield each change of the progress from a known token on, and None if nothing changed; end with the import."""
        seen = deque[tuple[float, int]]()
        while True:
            found, now = await self._progress(job_id), time.monotonic()
            while seen and seen[0][0] < now - _WINDOW:
                seen.popleft()
            seen.append((now, found.done))
            if (token := token_of(found)) != known:
                known = token
                yield _with_rate(found, now - seen[0][0], found.done - seen[0][1])
            else:
                yield None
            if found.state in ENDED:
                return
            await anyio.sleep(LOOK_SECONDS)

    async def _progress(self, job_id: str) -> ImportProgress:
        job, counts = await self.get(job_id), (await self.catalog.imports.counts([job_id]))[job_id]
        images = sum(counts.values())
        done = images - counts.get("queued", 0) - counts.get("fetching", 0)
        return ImportProgress(state=job.state, counts=counts, images=images, done=done)


def _row(job_id: str, number: int, row: TableRow) -> ImportRow:
    reason = "; ".join(f"{one.column}: {one.reason}" if one.column else one.reason for one in row.mistakes)
    return ImportRow(job_id, number, row.line, row.product, row.name, tuple(row.cells), tuple(row.numbers), reason)


def _items(job_id: str, rows: Iterable[tuple[int, TableRow]], now: datetime) -> Iterable[StoredItem]:
    for number, row in rows:
        for image in row.new:
            yield StoredItem(
                item=image.number, line=row.line, product=row.product, url=image.url, state="queued", changed=now,
                job=job_id, row=number, host=image.host, key=item_key(row.product, image.url),
                # In the order of the table.
                due=now + timedelta(microseconds=image.number),
            )  # fmt: skip


def token_of(found: ImportProgress) -> str:
    """Return what identifies the state and the counts."""
    return "-".join([found.state, *(f"{name}{number}" for name, number in sorted(found.counts.items()))])


def _with_rate(found: ImportProgress, seconds: float, done: int) -> ImportProgress:
    if seconds <= 0 or done <= 0 or found.state != "running":
        return found
    rate = done / seconds
    left = round((found.images - found.done) / rate, 1)
    return replace(found, rate=round(rate, 2), remaining=left)
