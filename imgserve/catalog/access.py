"""API keys, accounts of people, secrets and presets, for all processes and nodes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from imgserve.catalog.database import Database, Part, finished
from imgserve.catalog.tables import TEXT, Storage, StoredRecord, insert_in, metadata, microseconds
from imgserve.model import Doc
from imgserve.records import KeyRecord

_MODULUS = 1 << 40
secrets = Table(
    "secrets",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
    Column("created", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey(KeyRecord):
    """A key of the API as it is stored."""

    digest: str
    """SHA-256 of the key, in hexadecimal."""
    revoked: datetime | None = None


_keys = StoredRecord(ApiKey, {"key_id": Storage(TEXT, column="id", key=True), "digest": Storage(TEXT, unique=True)})
api_keys = Table(
    "api_keys",
    metadata,
    *_keys.columns(),
    # When the row was changed, other than by a use, so that processes notice what others changed.
    Column("changed", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


class ApiKeys(Part):
    """The keys of the API, of which only hashes are stored. A revoked key stays until it is pruned."""

    async def all(self, *, revoked: bool = False) -> list[ApiKey]:
        """Return the keys by name, without the revoked ones unless they are requested."""
        query = select(api_keys).order_by(api_keys.c.name, api_keys.c.id)
        rows = await self.database.fetch(query if revoked else query.where(api_keys.c.revoked.is_(None)))
        return [_keys.record(row) for row in rows]

    async def state(self) -> tuple[int, ...]:
        """Return what changes with every change of a key other than its use."""
        return await _state(self.database, api_keys.c.changed)

    async def add(self, key: ApiKey) -> None:
        """Store a new key."""
        await self.database.execute(insert(api_keys).values(**_keys.row(key), changed=microseconds(key.created)))

    async def revoke(self, key_id: str, *, at: datetime | None = None) -> bool:
        """Revoke a key; return whether there was one."""
        now = microseconds(at or datetime.now(UTC))
        mine = (api_keys.c.id == key_id, api_keys.c.revoked.is_(None))
        return await self.database.execute(update(api_keys).where(*mine).values(revoked=now, changed=now)) > 0

    @finished
    async def note_use(self, used: Iterable[tuple[str, datetime]]) -> None:
        """Store when keys were last used, unless a later use is known."""
        # In one order, so that two processes cannot wait for each other.
        rows = [{"key": key_id, "at": microseconds(at)} for key_id, at in sorted(used)]
        if rows:
            later = or_(api_keys.c.used.is_(None), api_keys.c.used < bindparam("at"))
            statement = update(api_keys).where(api_keys.c.id == bindparam("key"), later).values(used=bindparam("at"))
            async with self.database.writing() as connection:
                await connection.execute(statement, rows)

    async def prune(self, before: datetime) -> int:
        """Delete keys that were revoked or expired before a time; return how many."""
        limit = microseconds(before)
        return await self.database.execute(
            delete(api_keys).where(or_(api_keys.c.revoked < limit, api_keys.c.expires < limit))
        )


class Secrets(Part):
    """Random secrets that all processes and nodes share."""

    @finished
    async def shared(self, name: str, proposed: str) -> str:
        """Return the secret of a name, which is the proposed one if there was none."""
        row = {"name": name, "value": proposed, "created": microseconds(datetime.now(UTC))}
        async with self.database.writing() as connection:
            new = insert_in(secrets, self.database.dialect).values(row)
            await connection.execute(new.on_conflict_do_nothing(index_elements=[secrets.c.name]))
            return str((await connection.execute(select(secrets.c.value).where(secrets.c.name == name))).scalar_one())

    async def remove(self, name: str) -> bool:
        """Remove a secret; return whether there was one, which is true for one caller."""
        return await self.database.execute(delete(secrets).where(secrets.c.name == name)) > 0

    async def replace(self, name: str, value: str) -> None:
        """Store a secret in place of the former one."""
        new = insert_in(secrets, self.database.dialect)
        values = {"value": value, "created": microseconds(datetime.now(UTC))}
        statement = new.values({"name": name, **values})
        await self.database.execute(statement.on_conflict_do_update(index_elements=[secrets.c.name], set_=values))

    async def find(self, name: str) -> str | None:
        """Return the secret of a name, or None."""
        rows = await self.database.fetch(select(secrets.c.value).where(secrets.c.name == name))
        return str(rows[0].value) if rows else None

    async def use_up(self, name: str, value: str) -> bool:
        """Remove a secret that has this value; return whether it did, which is true for one caller."""
        return await self.database.execute(delete(secrets).where(secrets.c.name == name, secrets.c.value == value)) > 0


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may sign in."""

    name: Annotated[str, Doc("The name to sign in with.")]
    role: Annotated[str, Doc("What the person may do: `viewer`, `editor` or `admin`.")]
    password: str
    """The argon2id hash of the password; empty if a reverse proxy signs this person in."""
    created: Annotated[datetime, Doc("When it was created.")]
    changed: Annotated[datetime, Doc("When password or role were changed, or all sessions were ended.")]
    used: Annotated[datetime | None, Doc("When the person last signed in with the password; null for never.")] = None

    @property
    def has_password(self) -> bool:
        """Return whether the person can sign in with a password."""
        return bool(self.password)


_accounts = StoredRecord(Account, {"name": Storage(TEXT, key=True)})
accounts = Table("accounts", metadata, *_accounts.columns(), sqlite_with_rowid=False)
ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("digest", TEXT, primary_key=True),
    # After this time the session is over by itself.
    Column("until", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


class Accounts(Part):
    """The accounts, and the sessions that people have ended."""

    async def all(self) -> list[Account]:
        """Return the accounts by name."""
        rows = await self.database.fetch(select(accounts).order_by(accounts.c.name))
        return [_accounts.record(row) for row in rows]

    async def state(self) -> tuple[int, ...]:
        """Return what changes with every change of an account other than its use, and with every ended session."""
        return await _state(self.database, accounts.c.changed, ended_sessions.c.until)

    async def add(self, account: Account) -> bool:
        """Store a new account; return whether its name was free."""
        new = insert_in(accounts, self.database.dialect)
        statement = new.values(_accounts.row(account)).on_conflict_do_nothing(index_elements=[accounts.c.name])
        return await self.database.execute(statement) > 0

    async def change(self, name: str, *, role: str | None = None, password: str | None = None) -> bool:
        """End all sessions and store a role or the hash of a password; return whether there is the account."""
        changed = microseconds(datetime.now(UTC))
        values = {name: value for name, value in (("role", role), ("password", password)) if value is not None}
        statement = update(accounts).where(accounts.c.name == name).values(changed=changed, **values)
        return await self.database.execute(statement) > 0

    async def note_login(self, name: str, at: datetime, rehashed: tuple[str, str] | None = None) -> None:
        """Store when a person signed in, and the password's new hash in place of the former one."""
        mine = accounts.c.name == name
        await self.database.execute(update(accounts).where(mine).values(used=microseconds(at)))
        if rehashed is not None:
            former, new = rehashed
            await self.database.execute(
                update(accounts).where(mine, accounts.c.password == former).values(password=new)
            )

    async def remove(self, name: str) -> bool:
        """Remove an account; return whether there was one."""
        return await self.database.execute(delete(accounts).where(accounts.c.name == name)) > 0

    async def end_sessions(self, ended: Mapping[str, datetime]) -> None:
        """Store the hashes of the ids of ended sessions, and when these would be over."""
        new = insert_in(ended_sessions, self.database.dialect).on_conflict_do_nothing()
        rows = [{"digest": digest, "until": microseconds(until)} for digest, until in ended.items()]
        await self.database.execute(new.values(rows))

    async def ended_sessions(self) -> frozenset[str]:
        """Return the hashes of the ids of ended sessions."""
        return frozenset(str(row.digest) for row in await self.database.fetch(select(ended_sessions.c.digest)))

    async def prune(self, before: datetime) -> int:
        """Delete the ended sessions that would be over before a time; return how many."""
        return await self.database.execute(delete(ended_sessions).where(ended_sessions.c.until < microseconds(before)))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPreset:
    """A preset as it is stored."""

    name: str
    parameters: str
    """As a query."""
    changed: datetime


_presets = StoredRecord(StoredPreset, {"name": Storage(TEXT, key=True)})
presets = Table("presets", metadata, *_presets.columns(), sqlite_with_rowid=False)


class Presets(Part):
    """The presets that people edit."""

    async def all(self) -> dict[str, StoredPreset]:
        """Return the presets by name."""
        rows = await self.database.fetch(select(presets).order_by(presets.c.name))
        return {row.name: _presets.record(row) for row in rows}

    async def state(self) -> tuple[int, ...]:
        """Return what changes with every change of a preset."""
        return await _state(self.database, presets.c.changed)

    async def store(self, name: str, parameters: str, *, former: StoredPreset | None) -> StoredPreset | None:
        """Store a preset in place of the former one; return it, or None if that is not there any more."""
        new = StoredPreset(name=name, parameters=parameters, changed=datetime.now(UTC))
        row = _presets.row(new)
        if former is None:
            statement = insert_in(presets, self.database.dialect).values(row).on_conflict_do_nothing()
        else:
            statement = update(presets).where(_is(former)).values(row)
        return new if await self.database.execute(statement) > 0 else None

    async def remove(self, former: StoredPreset) -> bool:
        """Remove a preset; return whether it was as it is known."""
        return await self.database.execute(delete(presets).where(_is(former))) > 0


def _is(former: StoredPreset) -> ColumnElement[bool]:
    return and_(presets.c.name == former.name, presets.c.changed == microseconds(former.changed))


async def _state(database: Database, *times: Column[int]) -> tuple[int, ...]:
    """Return the number of rows of the tables with these times, and the sums of the times.

    A sum fits into 64 bits for 8 million rows.
    """
    numbers = [
        select(number).select_from(time.table).scalar_subquery()
        for time in times
        for number in (func.count(), func.coalesce(func.sum(time % _MODULUS), 0))
    ]
    (row,) = await database.fetch(select(*numbers))
    return tuple(map(int, row))
