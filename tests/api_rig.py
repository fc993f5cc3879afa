"""The API over real parts, for tests: records, many images, purges, trash, problems; its document; a caller."""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from imgserve.access.access import Access
from imgserve.access.keys import key_digest
from imgserve.images.convert import BulkConverter
from imgserve.model import ImageRecord
from imgserve.transform import Preset
from imgserve.web.access_log import AccessLog
from imgserve.web.api.bulk import Bulk, Purges
from imgserve.web.api.docs import ApiDocument
from imgserve.web.api.images import Preconditions, Records
from imgserve.web.api.move import Moves
from imgserve.web.api.router import Api
from imgserve.web.api.server import Reports, Trash
from imgserve.web.middleware import RequestLog, RequestMetrics, RequestMiddleware, as_our_error
from imgserve.web.pages import static_folder
from tests import access_rig
from tests.library_rig import Rig, open_rig, picture

KEY = "img_a-key-for-tests"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
PREFIX = "/img"


def api_of(rig: Rig) -> Api:
    """Build the endpoints over a rig."""
    catalog = rig.catalog
    preconditions, bulk = Preconditions(catalog.images), BulkConverter(catalog.search, at_once=2, most=10)
    parts = [
        Records(catalog.images, catalog.search, rig.ingest, preconditions, prefix=PREFIX),
        Moves(rig.ingest, catalog.search, bulk, preconditions, prefix=PREFIX),
        Bulk(rig.ingest),
        Purges(rig.ingest, catalog.images, rig.cache, presets={"card": Preset({}, name="Card")}),
        Trash(rig.ingest, prefix=PREFIX),
        Reports(catalog.search, catalog.problems, catalog.renders, version="1.2.3"),
    ]
    return Api(parts, access=access_of(rig), keys=catalog.idempotency)


def access_of(rig: Rig) -> Access:
    """Let the key in, and count failures."""
    return access_rig.access_of(key_digest(KEY), metrics=rig.metrics)


def app_of(rig: Rig) -> Starlette:
    """Build the application, as the server does, without pictures."""
    api = api_of(rig)
    document = ApiDocument(api.endpoints, static_folder(), prefix=PREFIX, version="1.2.3")
    exchange = Middleware(
        RequestMiddleware,
        requests=RequestLog(RequestMetrics(rig.metrics), AccessLog("off")),
        allowed_hosts=("*",),
        not_found_max_age=10,
    )
    return Starlette(
        routes=[
            api,
            *document.routes(access_of(rig), "everyone"),
            Mount("/static", app=StaticFiles(directory=static_folder())),
        ],
        middleware=[exchange],
        exception_handlers={HTTPException: as_our_error},
    )


@dataclass
class Caller:
    """Asks an application, with the key."""

    app: Starlette
    rig: Rig

    async def ask(self, method: str, target: str, **options: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        options["headers"] = AUTHORIZED | options.get("headers", {})
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, target, **options)

    def __getattr__(self, name: str) -> Any:
        """Request by a method of HTTP: get, post, patch, delete."""
        return functools.partial(self.ask, name.upper())

    async def record(self, image_id: str, number: int = 0, **fields: Any) -> ImageRecord:
        """Put a picture in the folder and have it recorded."""
        self.rig.put(image_id, picture(number))
        await self.rig.ingest.record(image_id, background=False)
        return await self.rig.ingest.change(image_id, fields)


@asynccontextmanager
async def calling(folder: Path, address: str, **given: Any) -> AsyncIterator[Caller]:
    """Build everything over a folder, and take it down."""
    async with open_rig(folder, address, **{"trash_seconds": 3600} | given) as rig:
        yield Caller(app_of(rig), rig)
