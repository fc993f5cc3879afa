"""Build the admin page."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from anyio import to_thread
from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute

from imgserve import __version__
from imgserve.access.access import Access
from imgserve.access.accounts import LEAST_CHARACTERS, AccountList, Passwords, SetupLinks
from imgserve.access.keys import Scope
from imgserve.access.limiter import RateLimiter
from imgserve.access.sessions import Sessions
from imgserve.access.sites import Sites
from imgserve.app.pictures import Parts
from imgserve.app.settings import catalog_url, create_data_folder, data_folder
from imgserve.catalog import Catalog, Database
from imgserve.config import Config
from imgserve.config.table import SettingsSection
from imgserve.errors import CatalogUnavailable
from imgserve.transform.colors import COLOR
from imgserve.transform.kinds import SIDE
from imgserve.transform.parameters import PICTURE_GROUPS
from imgserve.transform.parse import DEFAULT_PRESET
from imgserve.web.admin.activity import Activity
from imgserve.web.admin.filters import PictureUrls
from imgserve.web.admin.pages import AdminPages
from imgserve.web.admin.shell import AdminPage, Shell
from imgserve.web.admin.signin import SignInPages
from imgserve.web.api.router import Api, Auditor
from imgserve.web.operations import Finding
from imgserve.web.pages import static_folder
from imgserve.web.visitors import Visitors

_PATIENCE = 3.0
_IMAGES = {"found": "/api/images", "below": "/api/folders?limit=500&prefix={prefix}"}
_IMAGE = {
    "image": "/api/images/{image_id}",
    "stored": "/api/renditions/{image_id}",
    "similar": "/api/similar/{image_id}?limit=12",
}
_IMPORT = {
    "job": "/api/imports/{job}",
    "found": "/api/imports/{job}/products?limit=24&cursor={cursor}",
    "failed": "/api/imports/{job}/items?limit=100&state=failed",
    "calls": "/api/imports/{job}/deliveries",
    "presets": "/api/presets",
}
_HISTORY = {"history": "/api/audit?limit=20&target={image_id}"}


class Admin:
    """The parts by which people sign in, and the pages that they see then."""

    def __init__(self, config: Config, parts: Parts, limiter: RateLimiter, registry: CollectorRegistry) -> None:
        """Build the parts, without opening them."""
        access, catalog = config.access, parts.catalog
        self.accounts = AccountList(catalog.accounts, catalog.secrets)
        sessions = Sessions(self.accounts, idle=access.session_idle, longest=access.session_length)
        self.visitors = Visitors(
            sessions, access.admin, proxy_header=access.proxy_user_header, proxy_role=access.proxy_role
        )
        self.activity = Activity(registry, self.visitors.find)
        self._shell = Shell(static_folder(), __version__, least=LEAST_CHARACTERS)
        self._signing_in = SignInPages(
            self.visitors,
            Passwords(self.accounts, catalog.accounts, limiter, config.rates.logins),
            catalog.accounts,
            SetupLinks(catalog.secrets),
            Auditor(catalog.audit, catalog.images),
            shell=self._shell,
        )

    def routes(
        self, access: Access, api: Api, pictures: PictureUrls, config: Config, check: Callable[[], Sequence[Finding]]
    ) -> list[BaseRoute]:
        """Return the routes below /admin; `check` runs the checks of settings and machine."""
        pages = AdminPages(
            _pages(config, access.sites, check, self.activity), self._shell, self.visitors, api, pictures
        )
        more = {"events": self.activity.respond}
        return [*self._signing_in.routes(access, config.access.admin), *pages.routes(access, config.access.admin, more)]


def _pages(
    config: Config, sites: Sites, check: Callable[[], Sequence[Finding]], activity: Activity
) -> tuple[AdminPage, ...]:
    """Return the pages in the order of the navigation."""
    started = time.monotonic()

    async def uptime() -> float:
        return time.monotonic() - started

    async def checks() -> Sequence[Finding]:
        return await to_thread.run_sync(check)

    async def settings() -> Sequence[SettingsSection]:
        return config.effective

    async def whole() -> Config:
        return config

    async def parameters() -> Mapping[str, object]:
        presets = {name for site in sites for name in site.rules.free.presets}
        table = {"groups": PICTURE_GROUPS, "color": COLOR, "side": SIDE, "presets": sorted(presets - {DEFAULT_PRESET})}
        return {**table, "prefix": config.urls.prefix, "max_side": sites.default.rules.free.max_side}

    return (
        AdminPage(
            "",
            "Overview",
            Scope.READ,
            {"stats": "/api/stats", "cache": "/api/cache", "uptime": uptime, "saved": activity.saved},
            {"rejected": "/api/usage?what=rejected&by=client", "heavy": "/api/usage?what=bytes&by=image"},
        ),
        AdminPage("images", "Images", Scope.READ, {"config": whole, **_IMAGES}),
        AdminPage("images/{image_id:path}", "Image", Scope.READ, {"config": whole, **_IMAGE}, _HISTORY, "image"),
        AdminPage("grid/images", "Images", Scope.READ, {"found": "/api/images"}),
        AdminPage(
            "imports", "Imports", Scope.IMPORT, {"found": "/api/imports", "presets": "/api/presets", "config": whole}
        ),
        AdminPage("imports/{job}", "Import", Scope.IMPORT, {"config": whole, **_IMPORT}, template="import"),
        AdminPage("trash", "Trash", Scope.READ, {"trash": "/api/trash"}),
        AdminPage(
            "playground", "Playground", Scope.READ, {"table": parameters, "first": "/api/images?limit=1&sort=created"}
        ),
        AdminPage("presets", "Presets", Scope.READ, {"found": "/api/presets"}),
        AdminPage(
            "cache",
            "Cache",
            Scope.READ,
            {"cache": "/api/cache", "tags": "/api/tags", "config": whole},
            {"found": "/api/renditions"},
        ),
        AdminPage("access", "Access", Scope.ADMIN, {"found": "/api/keys", "config": whole, "presets": "/api/presets"}),
        AdminPage("access/accounts", "Accounts", Scope.ADMIN, {"found": "/api/accounts"}),
        AdminPage("access/sites", "Sites", Scope.ADMIN, {"config": whole}),
        AdminPage("access/rejections", "Rejections", Scope.ADMIN, {"found": "/api/usage"}),
        AdminPage("access/audit", "Audit log", Scope.ADMIN, {"found": "/api/audit"}),
        AdminPage(
            "problems",
            "Problems",
            Scope.READ,
            {"files": "/api/problems"},
            {"failed": "/api/problems/renders?slow=false", "slow": "/api/problems/renders?slow=true"},
        ),
        AdminPage("system", "System check", Scope.ADMIN, {"checks": checks}),
        AdminPage("settings", "Settings", Scope.ADMIN, {"sections": settings}),
    )


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
