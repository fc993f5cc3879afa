"""Build the admin page."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from imgserve import __version__
from imgserve.access.accounts import AccountList, Passwords, SetupLinks
from imgserve.access.limiter import RateLimiter
from imgserve.access.sessions import Sessions
from imgserve.app.pictures import Parts
from imgserve.app.settings import catalog_url, create_data_folder, data_folder
from imgserve.catalog import Catalog, Database
from imgserve.config import Config
from imgserve.errors import CatalogUnavailable
from imgserve.web.admin.pages import AdminPages
from imgserve.web.admin.visitors import Visitors
from imgserve.web.pages import static_folder

_PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Admin:
    """The parts by which people sign in."""

    accounts: AccountList
    visitors: Visitors
    pages: AdminPages


def build_admin(config: Config, parts: Parts, limiter: RateLimiter) -> Admin:
    """Return the parts, without opening them."""
    access, catalog = config.access, parts.catalog
    accounts = AccountList(catalog.accounts, catalog.secrets)
    sessions = Sessions(accounts, idle=access.session_idle, longest=access.session_length)
    visitors = Visitors(sessions, access.admin, proxy_header=access.proxy_user_header, proxy_role=access.proxy_role)
    pages = AdminPages(
        visitors,
        Passwords(accounts, catalog.accounts, limiter, config.rates.logins),
        catalog.accounts,
        SetupLinks(catalog.secrets),
        catalog.audit,
        static=static_folder(),
        version=__version__,
    )
    return Admin(accounts, visitors, pages)


@asynccontextmanager
async def opened_catalog(config: Config) -> AsyncIterator[Catalog]:
    """Provide the catalog of a server outside of it, for commands."""
    data = data_folder(config)
    create_data_folder(config, data)
    database = Database(catalog_url(config, data), patience=min(config.catalog.patience, _PATIENCE))
    try:
        yield Catalog(database)
    finally:
        await database.close()


async def first_link(config: Config) -> str | None:
    """Return the token of a new link that creates the first account.

    There is none if an account or such a link exists, nobody may sign in, or the catalog cannot be used now.
    """
    if config.access.admin == "off":
        return None
    try:
        async with opened_catalog(config) as catalog:
            links = SetupLinks(catalog.secrets)
            return None if await catalog.accounts.all() or await links.waiting() else await links.create()
    except CatalogUnavailable:
        return None


async def withdraw_link(config: Config) -> None:
    """Remove a link that nobody has seen."""
    with contextlib.suppress(CatalogUnavailable):
        async with opened_catalog(config) as catalog:
            await SetupLinks(catalog.secrets).withdraw()
