"""Has files recorded when they are complete. Which files, and when they were told of, is not known here."""

import logging
import time

import anyio
from anyio import to_thread

from imgserve.errors import CatalogUnavailable, ImageNotFound, ImgserveError, Unavailable
from imgserve.metrics import Metrics
from imgserve.originals.tree import Kind, Look, OriginalsTree
from imgserve.services.ingest import Recorded, Recording
from imgserve.services.watching.needs import Ingest
from imgserve.services.watching.outage import Outage
from imgserve.services.watching.pending import Item, Pending
from imgserve.services.watching.vanishing import Vanishing

_logger = logging.getLogger(__name__)

_STILL_SECONDS = 0.25
"""A file that has not changed for so long is tried. A writer may pause for longer: damaged files are tried again."""
_LONGEST_PAUSE = 5.0
_TRIES = 8
"""So often is a file tried that fails for no reason known here, before it is left to the next scan."""


class Recorder:
    """Records what is pending, one at a time; there may be several."""

    def __init__(
        self,
        pending: Pending,
        vanishing: Vanishing,
        tree: OriginalsTree,
        ingest: Ingest,
        outage: Outage,
        metrics: Metrics,
        *,
        patience: float,
    ) -> None:
        """Take where ids come from and where those of files that are gone go to.

        A file that changed less than `patience` seconds ago may still be written when it looks damaged.
        """
        self._pending = pending
        self._vanishing = vanishing
        self._tree = tree
        self._ingest = ingest
        self._outage = outage
        self._metrics = metrics
        self._patience = patience

    async def run(self) -> None:
        """Record one after the other until cancelled."""
        while True:
            await self._outage.over()
            item = await self._pending.take()
            try:
                pause = await self._handled(item)
            except anyio.get_cancelled_exc_class():
                raise
            except Exception:
                # The edge of a task: a file that fails must not end the watch; a scan tries it again.
                _logger.exception("%r cannot be recorded", item.image_id)
                pause = self._pause(item)
            if pause is None:
                self._pending.done(item)
            else:
                self._pending.put_off(item, min(pause, _LONGEST_PAUSE))

    async def _handled(self, item: Item) -> float | None:
        """Look at a file and record it; seconds until it is to be tried again, or None."""
        look = await to_thread.run_sync(self._tree.look, item.image_id)
        if look.kind is Kind.GONE:
            self._vanishing.add(item.image_id)
        if look.kind is not Kind.FILE:
            return None
        if (wait := _until_still(item, look)) > 0:
            return wait
        try:
            recorded = await self._ingest.record(item.image_id, background=True)
        except ImageNotFound:
            await self._ingest.vanished(item.image_id)  # what lies there is not served
            return None
        except CatalogUnavailable:
            self._outage.begin()
            return 0.0
        except Unavailable as error:
            return float(error.retry_after or 1)
        except ImgserveError as error:
            _logger.warning("%r cannot be recorded: %s", item.image_id, error)
            return self._pause(item)
        return await self._judged(item, look, recorded)

    async def _judged(self, item: Item, look: Look, recorded: Recorded) -> float | None:
        """Decide whether what was recorded can be the last word."""
        if recorded.outcome is Recording.LATER:
            return 1.0
        now = await to_thread.run_sync(self._tree.look, item.image_id)
        if now.kind is Kind.FILE and now.version != look.version:
            return _STILL_SECONDS  # it grew while it was read
        if recorded.problem is not None:
            self._metrics.watch_problems.inc()
        return None

    def _pause(self, item: Item) -> float | None:
        item.failures += 1
        return 0.5 * 2**item.failures if item.failures < _TRIES else None


def _until_still(item: Item, look: Look) -> float:
    """Tell how many seconds a file is to be left alone; 0 where it has not changed for a while.

    The time of change says so, whatever modification time a copy sets; where clocks differ, two looks do.
    """
    age, now, state = time.time() - look.changed_ns / 1e9, anyio.current_time(), (look.version, look.changed_ns)
    if item.seen != state:
        item.seen, item.seen_at = state, now
    if age >= _STILL_SECONDS or now - item.seen_at >= _STILL_SECONDS:
        return 0.0
    return _STILL_SECONDS - max(0.0, age)
