"""Commands of accounts, on the catalog of a folder."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

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
from imgserve.catalog import AuditEntry, Catalog
from imgserve.cli.output import echo, time_text
from imgserve.cli.serve import OPTIONS, options
from imgserve.config import Config
from imgserve.errors import AccountExists, AccountNotFound

_ACTOR = "command line"


@click.group()
def accounts() -> None:
    """Create, list and remove the accounts of people who sign in at the admin page.

    Pass the folder and the options that `imgserve serve` receives. Running servers follow within a second.
    """


@accounts.command()
@click.argument("name")
@options
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What the person may do.")
@click.option("--no-password", is_flag=True, help="Only a reverse proxy signs this person in.")
def create(
    name: str, originals: Path | None, path: Path | None, data: Path | None, *, role: Role, no_password: bool
) -> None:
    """Create an account. The password is prompted for, or read from standard input."""
    name = _name(name)
    account = new_account(name, Role(role), None if no_password else _password(name))

    async def add(catalog: Catalog) -> None:
        if not await catalog.accounts.add(account):
            raise AccountExists
        await _note(catalog, "account_create", name, {"role": account.role})

    _run(add, originals, path, data)


@accounts.command("list")
@options
def list_accounts(originals: Path | None, path: Path | None, data: Path | None) -> None:
    """List the accounts."""

    async def show(catalog: Catalog) -> None:
        found = await catalog.accounts.all()
        echo(f"{'LAST LOGIN':16}  {'ROLE':6}  NAME" if found else "there are no accounts yet", err=not found)
        for account in found:
            echo(f"{time_text(account.used):16}  {account.role:6}  {account.name}")

    _run(show, originals, path, data)


@accounts.command()
@click.argument("name")
@options
def password(name: str, originals: Path | None, path: Path | None, data: Path | None) -> None:
    """Change a password, which is prompted for or read from standard input. All sessions of the account end."""
    name = _name(name)
    digest = hash_password(_password(name))

    async def change(catalog: Catalog) -> None:
        if not await catalog.accounts.change(name, password=digest):
            raise AccountNotFound
        await _note(catalog, "password_change", name)

    _run(change, originals, path, data)


@accounts.command()
@click.argument("name")
@click.argument("new", metavar="ROLE", type=click.Choice([role.value for role in Role]))
@options
def role(name: str, new: Role, originals: Path | None, path: Path | None, data: Path | None) -> None:
    """Change what a person may do. All sessions of the account end."""
    name = _name(name)

    async def change(catalog: Catalog) -> None:
        if not await catalog.accounts.change(name, role=Role(new).value):
            raise AccountNotFound
        await _note(catalog, "account_change", name, {"role": Role(new).value})

    _run(change, originals, path, data)


@accounts.command()
@click.argument("name")
@options
def remove(name: str, originals: Path | None, path: Path | None, data: Path | None) -> None:
    """Remove an account. All its sessions end."""
    name = account_name(name)

    async def removed(catalog: Catalog) -> None:
        if not await catalog.accounts.remove(name):
            raise AccountNotFound
        await _note(catalog, "account_remove", name)

    _run(removed, originals, path, data)


@accounts.command()
@options
def link(originals: Path | None, path: Path | None, data: Path | None) -> None:
    """Print the path of a new link that creates an admin's account, once and within a day; the former link ends."""

    async def create_link(catalog: Catalog) -> None:
        echo(f"/admin/setup?token={await SetupLinks(catalog.secrets).create()}")
        echo("Open this path on the server once, within a day.", err=True)
        await _note(catalog, "account_link", "")

    _run(create_link, originals, path, data)


def _run(
    work: Callable[[Catalog], Awaitable[None]], originals: Path | None, path: Path | None, data: Path | None
) -> None:
    """Work on the catalog of the server of a folder."""
    overrides = {"originals.folder": originals, "originals.data_folder": data}
    config = Config.load(path, overrides=overrides, options=OPTIONS)
    if not config.originals.folder.is_dir():
        raise click.ClickException(f"there is no folder of originals at {config.originals.folder}")

    async def run() -> None:
        async with opened_catalog(config) as catalog:
            await work(catalog)

    asyncio.run(run())


async def _note(catalog: Catalog, action: str, name: str, after: Mapping[str, str] | None = None) -> None:
    entry = AuditEntry(at=datetime.now(UTC), actor=_ACTOR, address="", action=action, target=name, after=after or {})
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
