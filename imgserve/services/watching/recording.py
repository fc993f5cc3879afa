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

_log = logging.getLogger(__name__)

_STILL_SECONDS = 0.25
"""A file that has not changed for so long is tried. A writer may pause for longer: damaged files are tried again."""
_LONGEST_PAUSE = 5.0
_TRIES = 12
"""So often is a file tried that fails for no reason we know, before it is left to the next scan."""


class RecordingFiles:
    """Records what is pending, so many at a time."""

    def __init__(
        self,
        pending: Pending,
        vanishing: Vanishing,
        tree: OriginalsTree,
        ingest: Ingest,
        outage: Outage,
        metrics: Metrics,
        *,
        settle: float,
    ) -> None:
        """Take what is pending, and where to hand files that are gone; a damaged file gets `settle` seconds."""
        self._pending = pending
        self._vanishing = vanishing
        self._tree = tree
        self._ingest = ingest
        self._outage = outage
        self._metrics = metrics
        self._settle = settle

    async def run(self) -> None:
        """Record one after the other until cancelled."""
        while True:
            await self._outage.over()
            item = await self._pending.take()
            pause = await self._handled(item)
            if pause is None:
                self._pending.done(item)
            else:
                self._pending.put_off(item, min(pause, _LONGEST_PAUSE), tried=item.seen_at == 0)

    async def _handled(self, item: Item) -> float | None:
        """Look at a file and record it; seconds until it is to be tried again, or None."""
        look = await to_thread.run_sync(self._tree.look, item.image_id)
        if look.kind is Kind.GONE:
            self._vanishing.add(item.image_id)
        if look.kind is not Kind.FILE:
            return None
        if not _is_still(item, look):
            return _STILL_SECONDS if item.tries == 0 else 2 * _STILL_SECONDS
        item.seen_at = 0.0
        try:
            return self._judged(item, look, await self._ingest.record(item.image_id, background=True))
        except ImageNotFound:
            # Nothing that is served lies there; the door has forgotten what was.
            self._vanishing.add(item.image_id, served=False)
            return None
        except CatalogUnavailable:
            self._outage.begin()
            return 0.0
        except Unavailable as error:
            return float(error.retry_after or 1)
        except ImgserveError as error:
            _log.warning("%s cannot be recorded: %s", item.image_id, error)
            return self._pause(item)
        except Exception:
            # The edge of a task: one file that fails must not end the watch.
            _log.exception("%s cannot be recorded", item.image_id)
            return self._pause(item)
