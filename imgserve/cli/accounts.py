"""Commands of accounts, on the catalog of a folder."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from imgserve.access.accounts import (
    Role,
    SetupLinks,
    account_name,
    hash_password,
    name_mistake,
    new_account,
    password_mistake,
)
from imgserve.app import opened_catalog
from imgserve.catalog import Catalog
from imgserve.cli.output import echo, time_text
from imgserve.cli.serve import folder_config, options
from imgserve.errors import AccountExists, AccountNotFound
from imgserve.records import AuditEntry

_NAME = click.argument("name", callback=lambda _context, _parameter, text: _name(text))
_ROLES = click.Choice([role.value for role in Role])


@click.group()
def accounts() -> None:
    """Create, list and remove the accounts of people who sign in at the admin page.

    Pass the folder and the options that `imgserve serve` receives. Running servers follow within a second.
    """


def _on_catalog(work: Callable[..., Awaitable[None]]) -> click.Command:
    """Return the command that works on the catalog of the server of a folder."""

    @options
    def run(originals: Path | None, path: Path | None, data: Path | None, **arguments: Any) -> None:
        config = folder_config(path, {"originals.folder": originals, "originals.data_folder": data})

        async def opened() -> None:
            async with opened_catalog(config) as catalog:
                await work(catalog, **arguments)

        asyncio.run(opened())

    for option in getattr(work, "__click_params__", []):
        run.__dict__.setdefault("__click_params__", []).append(option)
    return accounts.command(work.__name__.rstrip("_"), help=work.__doc__)(run)


@_on_catalog
@_NAME
@click.option("--role", type=_ROLES, required=True, help="What the person may do.")
@click.option("--no-password", is_flag=True, help="Only a reverse proxy signs this person in.")
async def create(catalog: Catalog, name: str, role: str, *, no_password: bool) -> None:
    """Create an account. The password is prompted for, or read from standard input."""
    if not await catalog.accounts.add(new_account(name, Role(role), None if no_password else _password(name))):
        raise AccountExists
    await _note(catalog, "accounts_create", name, role=role)


@_on_catalog
async def list_(catalog: Catalog) -> None:
    """List the accounts."""
    found = await catalog.accounts.all()
    echo(f"{'LAST LOGIN':16}  {'ROLE':6}  NAME" if found else "there are no accounts yet", err=not found)
    for account in found:
        echo(f"{time_text(account.used):16}  {account.role:6}  {account.name}")


@_on_catalog
@_NAME
async def password(catalog: Catalog, name: str) -> None:
    """Change a password, and end all sessions of the account.

    The password is prompted for, or read from standard input.
    """
    if not await catalog.accounts.change(name, password=hash_password(_password(name))):
        raise AccountNotFound
    await _note(catalog, "password_change", name)


@_on_catalog
@_NAME
@click.argument("role", type=_ROLES)
async def role(catalog: Catalog, name: str, role: str) -> None:
    """Change what a person may do. All sessions of the account end."""
    if not await catalog.accounts.change(name, role=role):
        raise AccountNotFound
    await _note(catalog, "accounts_change", name, role=role)


@_on_catalog
@_NAME
async def remove(catalog: Catalog, name: str) -> None:
    """Remove an account. All its sessions end."""
    if not await catalog.accounts.remove(name):
        raise AccountNotFound
    await _note(catalog, "accounts_remove", name)


@_on_catalog
async def link(catalog: Catalog) -> None:
    """Print a new link that creates an admin's account.

    Open the printed path on the server. It is valid once and for a day, and the former link ends.
    """
    echo(f"/admin/setup?token={await SetupLinks(catalog.secrets).create()}")
    echo("Open this path on the server once, within a day.", err=True)
    await _note(catalog, "accounts_link", "")


async def _note(catalog: Catalog, action: str, name: str, **after: str) -> None:
    entry = AuditEntry(at=datetime.now(UTC), actor="command line", address="", action=action, target=name, after=after)
    await catalog.audit.add(entry)


def _name(text: str) -> str:
    name = account_name(text)
    if mistake := name_mistake(name):
        raise click.UsageError(mistake)
    return name


def _password(name: str) -> str:
    """Return a password that is typed twice, or the first line of standard input."""
    if sys.stdin.isatty():
        text: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    if mistake := password_mistake(name, text):
        raise click.UsageError(mistake)
    return text
