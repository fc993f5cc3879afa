"""Accounts of people, for all processes and nodes."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Table, delete, func, select, update

from imgserve.catalog.database import Part
from imgserve.catalog.tables import TEXT, Storage, StoredRecord, insert_in, metadata, microseconds


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may sign in."""

    name: str
    role: str
    password: str
    """The argon2id hash of the password; empty if a reverse proxy signs this person in."""
    created: datetime
    changed: datetime
    """When password or role were changed, or all sessions ended; those that began earlier are over."""
    used: datetime | None = None
    """When the person last signed in with the password."""

    @property
    def has_password(self) -> bool:
        """Return whether the person can sign in with a password."""
        return bool(self.password)


_accounts = StoredRecord(Account, {"name": Storage(TEXT, key=True)})
accounts = Table("accounts", metadata, *_accounts.columns(), sqlite_with_rowid=False)


class Accounts(Part):
    """The accounts. Every method raises CatalogUnavailable if the database cannot be used now."""

    async def all(self) -> list[Account]:
        """Return the accounts by name."""
        rows = await self.database.fetch(select(accounts).order_by(accounts.c.name))
        return [_accounts.record(row) for row in rows]

    async def state(self) -> tuple[int, int]:
        """Return what changes with every change of an account other than its use."""
        query = select(func.count().label("accounts"), func.coalesce(func.sum(accounts.c.changed), 0).label("changes"))
        (row,) = await self.database.fetch(query)
        return int(row.accounts), int(row.changes)

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
