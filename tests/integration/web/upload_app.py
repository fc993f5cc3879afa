"""The upload endpoints over real parts, as a program; not a test itself. Its argument: settings as JSON."""

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from imgserve.cache import DiskTier, MemoryTier, MezzanineTier, TieredCache
from imgserve.catalog import Catalog, Database
from imgserve.download import Downloader, FetchRules
from imgserve.library.ingest import IngestService
from imgserve.library.inspect import Inspector, Rules
from imgserve.library.record import ChangePublisher
from imgserve.library.upload import UploadReceiver
from imgserve.metrics import Metrics
from imgserve.model import Limits
from imgserve.originals.writable import WritableOriginals
from imgserve.rendering.admission import Admission
from imgserve.rendering.wire import ProcessLimits
from imgserve.rendering.workers import Workers
from imgserve.server.connection import Timeouts
from imgserve.server.process import ServerOptions
from imgserve.server.supervisor import run
from imgserve.web.api.images import Preconditions, Records
from imgserve.web.api.uploads import UploadLimits, Uploads
from tests.access_rig import access_of
from tests.api_frame import api_of, served


async def _no_keys(*_args: object) -> tuple[()]:
    return ()


def make_app(settings: Mapping[str, Any]) -> Starlette:
    """Build the parts that uploads need."""
    folder, max_bytes = Path(settings["folder"]), settings.get("max_bytes", 10_000_000)
    metrics = Metrics(CollectorRegistry())
    workers = Workers(
        1,
        Admission(1, waiting=50, waiting_megapixels=500),
        time_limit=20,
        process_limits=ProcessLimits(),
        metrics=metrics,
    )
    cache = TieredCache(MemoryTier(0), DiskTier(folder / ".cache", 0, 0), MezzanineTier(folder / ".cache", 0))
    database = Database(f"sqlite:///{settings['catalog']}")
    catalog, originals = Catalog(database), WritableOriginals(folder)

    rules = Rules(duplicates=settings.get("duplicates", "existing"))
    ingest = IngestService(
        catalog,
        Inspector(originals, workers, Limits(original_bytes=max_bytes), rules),
        ChangePublisher(cache, catalog.notices, forget=lambda _image_id: None),
        preset_keys=_no_keys,
        metrics=metrics,
    )
    ports = frozenset(settings.get("ports", (80, 443)))
    downloader = Downloader(FetchRules(max_bytes, ports=ports, networks=("127.0.0.1",), seconds=10))
    preconditions = Preconditions(catalog.images)
    records = Records(catalog.images, catalog.search, ingest, preconditions, prefix="/img")
    uploads = Uploads(
        access_of(metrics=metrics),
        ingest,
        preconditions,
        UploadReceiver(originals, downloader, max_bytes=max_bytes),
        UploadLimits(settings.get("files", 5), settings.get("request_bytes", 20_000_000)),
        prefix="/img",
    )
    app = served(api_of([uploads, records], catalog.idempotency), metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await database.open()
        await workers.open()
        yield
        await ingest.close()
        await downloader.close()
        await workers.close()
        await database.close()

    app.router.lifespan_context = lifespan
    return app


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    options = ServerOptions(port=0, hot_path=False, timeouts=Timeouts(body_idle=given.get("body_idle", 20.0)))
    sys.exit(run(lambda: make_app(given), options))
