"""Answers to requests that may be repeated: who sends the same key again gets the answer of the first time."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.database import Database, finished
from imgserve.catalog.tables import answers, microseconds, moment
from imgserve.errors import IdempotencyConflict

KEPT = timedelta(hours=24)
"""How long an answer is given again."""
LOST = timedelta(minutes=5)
"""A request that was not answered for so long never will be: its process is gone."""
MOST_BYTES = 1_048_576
"""Of a body that is kept."""
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered the first time."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    body_digest: str = ""
    """Of the request, if its body was streamed."""


class IdempotencyKeys:
    """The keys, for all processes and nodes. A key is whatever tells requests apart, the name of the caller included.

    Every method raises CatalogUnavailable where the database cannot be used now.
    """

    def __init__(self, database: Database) -> None:
        """Take the database that keeps them."""
        self.database = database

    @finished
    async def begin(self, key: str, fingerprint: str, *, at: datetime | None = None) -> Answered | None:
        """Take a key, which only one caller gets: None, and it goes on to `finish` or `abandon`; or give the answer.

        Raises:
            IdempotencyConflict: the key came with another request, or with this one, which is still being answered.
        """
        now = at or datetime.now(UTC)
        started = microseconds(now)
        row = {"key": _digest(key), "fingerprint": fingerprint, "started": started, "headers": "{}", "body": b""}
        async with self.database.writing() as connection:
            new = (postgresql if self.database.dialect == "postgresql" else sqlite).insert(answers)
            for _ in range(_ATTEMPTS):
                taken = new.values(row).on_conflict_do_nothing(index_elements=[answers.c.key]).returning(answers.c.key)
                if (await connection.execute(taken)).first():
                    return None
                held = select(answers).where(answers.c.key == row["key"]).with_for_update()
                found = (await connection.execute(held)).first()
                if found is None:
                    continue  # another one has just abandoned it
                if _is_over(found, now):
                    await _take_over(connection, row)
                    return None
                return _answer(found, fingerprint)
        raise IdempotencyConflict("Many requests come with this key at once.")

    @finished
    async def finish(
        self, key: str, status: int, headers: Mapping[str, str], body: bytes, *, body_digest: str = ""
    ) -> bool:
        """Store an answer and return True; one that is too large is not stored, and its key is free again.

        `body_digest` is a digest of the request's body, if that was not part of the fingerprint.
        """
        mine = answers.c.key == _digest(key)
        if len(body) > MOST_BYTES:
            async with self.database.writing() as connection:
                await connection.execute(delete(answers).where(mine))
            return False
        values: dict[str, Any] = {"status": status, "headers": json.dumps(dict(headers)), "body": body}
        if body_digest:
            values["fingerprint"] = answers.c.fingerprint + f" {body_digest}"
        async with self.database.writing() as connection:
            return (await connection.execute(update(answers).where(mine).values(values))).rowcount > 0

    @finished
    async def abandon(self, key: str) -> None:
        """Free a key whose request changed nothing, so that it can be tried again; an answer that is kept stays."""
        statement = delete(answers).where(answers.c.key == _digest(key), answers.c.status.is_(None))
        async with self.database.writing() as connection:
            await connection.execute(statement)

    @finished
    async def prune(self, before: datetime) -> int:
        """Forget requests that began before; tell how many."""
        statement = delete(answers).where(answers.c.started < microseconds(before))
        async with self.database.writing() as connection:
            return (await connection.execute(statement)).rowcount


def _is_over(found: Row[Any], now: datetime) -> bool:
    age = now - moment(found.started)
    return age > KEPT or (found.status is None and age > LOST)


async def _take_over(connection: AsyncConnection, row: Mapping[str, Any]) -> None:
    values = {**row, "status": None}
    await connection.execute(update(answers).where(answers.c.key == row["key"]).values(values))


def _answer(found: Row[Any], fingerprint: str) -> Answered:
    known, _, body_digest = found.fingerprint.partition(" ")
    if known != fingerprint:
        raise IdempotencyConflict("This Idempotency-Key came with another request before.")
    if found.status is None:
        raise IdempotencyConflict("The request with this Idempotency-Key is still being answered.", retry_after=1)
    return Answered(int(found.status), json.loads(found.headers), bytes(found.body), body_digest)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
