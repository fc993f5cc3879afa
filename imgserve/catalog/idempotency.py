"""Stored responses, so that a repeated request with the same key gets the response of the first one."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Row, Table, delete, select, update

from imgserve.catalog.database import Part, finished
from imgserve.catalog.tables import TEXT, insert_in, metadata, microseconds, moment
from imgserve.errors import IdempotencyConflict

answers = Table(
    "answers",
    metadata,
    # A digest of the key, which may be of any length.
    Column("key", LargeBinary, primary_key=True),
    Column("fingerprint", TEXT, nullable=False),
    Column("started", BigInteger, nullable=False),
    # None while it is being answered.
    Column("status", BigInteger),
    Column("headers", TEXT, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("answers_by_started", "started"),
    sqlite_with_rowid=False,
)

KEPT = timedelta(hours=24)
"""How long a response is stored."""
LOST = timedelta(minutes=5)
"""A request without a response for so long will not get one: its process is gone."""
MOST_BYTES = 1_048_576
"""Largest body that is stored."""
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Answered:
    """The response to the first request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    body_digest: str = ""
    """Of the request, if its body was streamed."""


class IdempotencyKeys(Part):
    """The keys, for all processes and nodes. A key identifies a request and includes the name of the caller."""

    @finished
    async def begin(self, key: str, fingerprint: str, *, at: datetime | None = None) -> Answered | None:
        """Return the stored response of a key, or None to the one caller that then calls `finish` or `abandon`.

        Raises IdempotencyConflict if the key came with another request, or with this one, which is still in progress.
        """
        now = at or datetime.now(UTC)
        started = microseconds(now)
        row = {"key": _digest(key), "fingerprint": fingerprint, "started": started, "headers": "{}", "body": b""}
        async with self.database.writing() as connection:
            new = insert_in(answers, self.database.dialect)
            for _ in range(_ATTEMPTS):
                taken = new.values(row).on_conflict_do_nothing(index_elements=[answers.c.key]).returning(answers.c.key)
                if (await connection.execute(taken)).first():
                    return None
                held = select(answers).where(answers.c.key == row["key"]).with_for_update()
                found = (await connection.execute(held)).first()
                if found is None:
                    continue  # another caller has just abandoned it
                age = now - moment(found.started)
                if age > KEPT or (found.status is None and age > LOST):
                    over = update(answers).where(answers.c.key == row["key"])
                    await connection.execute(over.values({**row, "status": None}))
                    return None
                return _answer(found, fingerprint)
        raise IdempotencyConflict("Many requests come with this key at once.")

    async def finish(
        self, key: str, status: int, headers: Mapping[str, str], body: bytes, *, body_digest: str = ""
    ) -> bool:
        """Store a response; return whether it was stored. One that is too large is not, and frees its key.

        `body_digest` is a digest of the request body, if that was not part of the fingerprint.
        """
        mine = answers.c.key == _digest(key)
        if len(body) > MOST_BYTES:
            await self.database.execute(delete(answers).where(mine))
            return False
        values: dict[str, Any] = {"status": status, "headers": json.dumps(dict(headers)), "body": body}
        if body_digest:
            values["fingerprint"] = answers.c.fingerprint + f" {body_digest}"
        return await self.database.execute(update(answers).where(mine).values(values)) > 0

    async def abandon(self, key: str) -> None:
        """Free a key whose request changed nothing, so that it can be repeated; a stored response stays."""
        await self.database.execute(delete(answers).where(answers.c.key == _digest(key), answers.c.status.is_(None)))

    async def prune(self, before: datetime) -> int:
        """Delete the keys of older requests; return how many."""
        return await self.database.execute(delete(answers).where(answers.c.started < microseconds(before)))


def _answer(found: Row[Any], fingerprint: str) -> Answered:
    known, _, body_digest = found.fingerprint.partition(" ")
    if known != fingerprint:
        raise IdempotencyConflict("This Idempotency-Key came with another request before.")
    if found.status is None:
        raise IdempotencyConflict("The request with this Idempotency-Key is still being answered.", retry_after=1)
    return Answered(int(found.status), json.loads(found.headers), bytes(found.body), body_digest)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
