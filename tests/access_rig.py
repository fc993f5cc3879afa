"""The check of access for tests, with keys in memory."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from imgserve.access.access import Access
from imgserve.access.accounts import AccountList
from imgserve.access.admin_key import KeyFileUnusableError
from imgserve.access.keys import KeyRing, key_digest
from imgserve.access.limiter import RateLimiter
from imgserve.access.sites import Rules, Site, Sites
from imgserve.catalog import Account, Accounts, ApiKey, ApiKeys, Database, Secrets
from imgserve.images.settings import QuerySettings
from imgserve.metrics import Metrics

KEY = "img_a-key-for-tests"
"""The admin key."""
OPEN = Sites(Site("", Rules(QuerySettings(), QuerySettings())))
"""Everybody may see everything."""


class KeysInMemory(ApiKeys):
    """Stored keys without a database."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = list(keys)
        self.uses = dict[str, datetime]()
        self.reads = 0

    async def all(self, *, revoked: bool = False) -> list[ApiKey]:
        self.reads += 1
        return [key for key in self.keys if revoked or key.revoked is None]

    async def state(self) -> tuple[int, ...]:
        return len(self.keys), hash(tuple(self.keys))

    async def note_use(self, used: Iterable[tuple[str, datetime]]) -> None:
        self.uses |= dict(used)


class AccountsInMemory(AccountList):
    """Accounts of a process that are set by tests; the catalog is never read."""

    def __init__(self, *accounts: Account, secret: str) -> None:
        nowhere = Database("sqlite:////nowhere/catalog.sqlite")
        super().__init__(Accounts(nowhere), Secrets(nowhere))
        self.secret = secret
        self.set(*accounts)

    async def refresh(self) -> None:
        """Read nothing."""

    def set(self, *accounts: Account) -> None:
        """Replace the accounts."""
        self._accounts = {account.name: account for account in accounts}


def access_of(
    digest: str | KeyFileUnusableError | None = None,
    *,
    metrics: Metrics | None = None,
    sites: Sites = OPEN,
    keys: ApiKeys | None = None,
    replaced_in: Path | None = None,
) -> Access:
    """Return a check that accepts KEY, unless another hash is passed."""
    metrics = metrics or Metrics(CollectorRegistry())
    folders = {site.name: site.folder for site in sites}
    return Access(
        key_digest(KEY) if digest is None else digest,
        metrics=metrics,
        sites=sites,
        ring=KeyRing(keys or KeysInMemory(), folders),
        limiter=RateLimiter(None, metrics),
        replaced_in=replaced_in,
    )
