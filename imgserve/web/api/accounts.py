"""Endpoints of accounts."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from anyio import to_thread
from pydantic import Field, SecretStr

from imgserve.access.accounts import (
    LEAST_CHARACTERS,
    MOST_CHARACTERS,
    NAME,
    Role,
    account_name,
    hash_password,
    new_account,
    password_mistake,
)
from imgserve.access.keys import Scope
from imgserve.catalog import Account
from imgserve.catalog import Accounts as StoredAccounts
from imgserve.errors import AccountExists, AccountNotFound, BadRequest
from imgserve.web.api.endpoint import endpoint
from imgserve.web.api.messages import ResponseModel
from imgserve.web.api.requests import RequestModel

_endpoint = partial(endpoint, tag="access")
_Password = Annotated[SecretStr, Field(min_length=LEAST_CHARACTERS, max_length=MOST_CHARACTERS)]
_Role = Annotated[Role, Field(strict=False)]


class NewAccount(RequestModel):
    """An account to be created."""

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    """The name to sign in with, in lower case."""
    role: _Role
    """What the person may do: `viewer` reads, `editor` also uploads, changes and imports, `admin` may do everything."""
    password: _Password | None = None
    """At least 12 characters; null for a person whom a reverse proxy signs in."""


class AccountChanges(RequestModel):
    """Changes of an account, which end all its sessions."""

    role: _Role | None = None
    """The new role."""
    password: _Password | None = None
    """The new password, of at least 12 characters."""


class AccountOut(ResponseModel, record=Account):
    """An account."""

    has_password: bool
    """False for a person whom only a reverse proxy signs in."""


class AccountsOut(ResponseModel):
    """All accounts."""

    accounts: list[AccountOut]
    """By name."""


class RemovedAccountOut(ResponseModel):
    """A removed account."""

    name: str
    """Its name."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Endpoints of accounts."""

    accounts: StoredAccounts

    @_endpoint("GET", "/api/accounts", Scope.ADMIN, "List the accounts")
    async def list(self) -> AccountsOut:
        """Return the people who may sign in at the admin page."""
        return AccountsOut.model_validate({"accounts": await self.accounts.all()})

    @_endpoint(
        "POST",
        "/api/accounts",
        Scope.ADMIN,
        "Create an account",
        status=201,
        secret=True,
        errors=[AccountExists],
        example={"name": "jane", "role": "editor", "password": "correct horse battery staple"},
    )
    async def create(self, body: NewAccount) -> AccountOut:
        """Create an account, which can sign in within a second."""
        account = await to_thread.run_sync(new_account, body.name, body.role, _checked(body.name, body.password))
        if not await self.accounts.add(account):
            raise AccountExists
        return AccountOut.model_validate(account)

    @_endpoint("PATCH", "/api/accounts/{name}", Scope.ADMIN, "Change an account", errors=[AccountNotFound])
    async def change(self, name: str, body: AccountChanges) -> AccountOut:
        """Change the role or the password. All sessions of the account end within a second."""
        name, password = account_name(name), _checked(name, body.password)
        digest = None if password is None else await to_thread.run_sync(hash_password, password)
        if body.role is not None or digest is not None:
            await self.accounts.change(name, role=body.role, password=digest)
        found = next((account for account in await self.accounts.all() if account.name == name), None)
        if found is None:
            raise AccountNotFound
        return AccountOut.model_validate(found)

    @_endpoint("DELETE", "/api/accounts/{name}", Scope.ADMIN, "Remove an account", errors=[AccountNotFound])
    async def remove(self, name: str) -> RemovedAccountOut:
        """Remove an account. All its sessions end within a second."""
        name = account_name(name)
        if not await self.accounts.remove(name):
            raise AccountNotFound
        return RemovedAccountOut(name=name)


def _checked(name: str, secret: SecretStr | None) -> str | None:
    """Return a password for an account; raise BadRequest if the account cannot have this password."""
    password = None if secret is None else secret.get_secret_value()
    if password is not None and (mistake := password_mistake(name, password)):
        raise BadRequest(mistake)
    return password
