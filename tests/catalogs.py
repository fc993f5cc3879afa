"""Records and catalogs for the tests."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from imgserve.catalog import Catalog, Database, Images, Merge, Merged
from imgserve.model import ImageRecord, Origin
from tests.prefork import PATIENCE

__all__ = ["START", "Catalog", "ids", "opened", "put", "put_many", "record"]

START = datetime(2026, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def opened(address: str, **options: Any) -> AsyncIterator[Catalog]:
    """Open a catalog, and close it afterwards; by default it waits as long as a busy machine needs."""
    database = Database(address, **{"patience": PATIENCE} | options)
    try:
        await database.open()
        yield Catalog(database)
    finally:
        await database.close()


def record(image_id: str, second: int = 0, **fields: Any) -> ImageRecord:
    """Make a record that differs from others in its id."""
    moment = START + timedelta(seconds=second)
    given: dict[str, Any] = {
        "image_id": image_id,
        "version": "1_1",
        "sha256": hashlib.sha256(image_id.encode("utf-8", "surrogateescape")).hexdigest(),
        "format": "jpg",
        "width": 40,
        "height": 30,
        "size": 1000,
        "created": moment,
        "changed": moment,
        "origin": Origin.WATCH,
    }
    return ImageRecord(**given | fields)


def ids(records: Any) -> list[str]:
    """List the ids of records, in their order."""
    return [one.image_id for one in records]


def outcome(merged: Merged) -> str:
    """Return what a merge did: added, changed or unchanged."""
    if merged.before == merged.record:
        return "unchanged"
    return "changed" if merged.before else "added"


async def put(images: Images, record: ImageRecord) -> str:
    """Write a record, whatever is recorded under its id."""
    return (await put_many(images, [record]))[record.image_id]


async def put_many(images: Images, records: Iterable[ImageRecord]) -> dict[str, str]:
    """Write records in one transaction, whatever is recorded under their ids."""
    merged = await images.merge_many({record.image_id: _always(record) for record in records})
    return {image_id: outcome(one) for image_id, one in merged.items()}


def _always(record: ImageRecord) -> Merge:
    return lambda _: record
