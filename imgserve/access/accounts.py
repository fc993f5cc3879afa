"""Accounts of people: roles, passwords, and the accounts that exist now."""

import base64
import logging
import math
import re
import secrets
import time
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

import anyio
from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from imgserve.access.keys import PERSON, Caller, Scope, key_digest
from imgserve.access.limiter import RateLimiter
from imgserve.access.rates import Kind, client_subject
from imgserve.catalog import Account, Accounts, Secrets
from imgserve.errors import CatalogUnavailable

_logger = logging.getLogger(__name__)
NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")
NAME_RULE = "up to 100 letters, digits and . _ @ + -, beginning with a letter or digit"
LEAST_CHARACTERS, MOST_CHARACTERS = 12, 1000
_POLL_SECONDS = 0.4
"""A session that another process ended is rejected after this time."""
_AT_ONCE = 2
"""Passwords that are hashed at the same time: each needs 64 MiB."""
_HASHER = PasswordHasher()
_LINK, _LINK_SECONDS = "setup-link", 86_400
_SESSIONS = "sessions"


class Role(StrEnum):
    """What a person may do."""

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"


SCOPES: Mapping[Role, frozenset[Scope]] = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.EDITOR: frozenset({Scope.READ, Scope.UPLOAD, Scope.MANAGE, Scope.IMPORT}),
    Role.ADMIN: frozenset({Scope.ADMIN}),
}


def caller_of(name: str, role: str) -> Caller:
    """Return the caller that a person is; one with an unknown role may do nothing."""
    return Caller(f"{PERSON}{name}", SCOPES[Role(role)] if role in set(Role) else frozenset())


def account_name(text: str) -> str:
    """Return the name of an account as it is stored: in lower case, without spaces around it."""
    return text.strip().lower()


def name_mistake(name: str) -> str:
    """Return why no account can have this name, as a sentence; empty if one can."""
    return "" if NAME.fullmatch(name) else f"The name needs {NAME_RULE}."


def password_mistake(name: str, password: str) -> str:
    """Return why an account cannot have this password, as a sentence; empty if it can."""
    if len(password) < LEAST_CHARACTERS:
        return f"The password needs at least {LEAST_CHARACTERS} characters."
    if len(password) > MOST_CHARACTERS:
        return f"The password may have at most {MOST_CHARACTERS} characters."
    return "The password must not be the name of the account." if account_name(password) == name else ""


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password; takes about a tenth of a second."""
    return _HASHER.hash(_plain(password))


def new_account(name: str, role: Role, password: str | None) -> Account:
    """Return a new account; without a password, only a reverse proxy can sign it in."""
    now = datetime.now(UTC)
    return Account(name, role.value, "" if password is None else hash_password(password), now, now)


class AccountList:
    """The accounts, in the memory of this process. The catalog is asked several times a second what has changed."""

    def __init__(self, accounts: Accounts, shared: Secrets) -> None:
        self._stored = accounts
        self._shared = shared
        self._accounts = dict[str, Account]()
        self._ended = frozenset[str]()
        self._ending = dict[str, datetime]()
        """Ended here, and not stored yet."""
        self._state: tuple[int, ...] | None = None
        self._lock = anyio.Lock()
        self.secret = ""
        """Signs sessions; empty until the catalog could be read."""

    def find(self, name: str) -> Account | None:
        """Return an account, or None."""
        return self._accounts.get(name)

    def has_ended(self, session_id: str) -> bool:
        """Return whether somebody has ended a session."""
        digest = key_digest(session_id)
        return digest in self._ended or digest in self._ending

    async def end(self, session_id: str, until: float) -> None:
        """End a session, which would be over at a time: at once in this process, and in others when it is stored.

        It is stored now, or as soon as the catalog can be used.
        """
        self._ending[key_digest(session_id)] = datetime.fromtimestamp(until, UTC)
        await self.refresh()

    async def refresh(self) -> None:
        """Read the accounts again if they have changed; without the catalog, the known ones stay valid."""
        async with self._lock:
            try:
                self.secret = self.secret or await self._shared.shared(_SESSIONS, secrets.token_urlsafe(32))
                if ending := dict(self._ending):
                    await self._stored.end_sessions(ending)
                state = await self._stored.state()
                if state != self._state:
                    self._accounts = {account.name: account for account in await self._stored.all()}
                    self._ended = await self._stored.ended_sessions()
                    self._state = state
                for digest in ending:
                    del self._ending[digest]
            except CatalogUnavailable:
                _logger.debug("the accounts cannot be read now")  # the catalog logs why

    async def run(self) -> None:
        """Follow changes of the accounts until cancelled."""
        while True:
            await self.refresh()
            await anyio.sleep(_POLL_SECONDS)


class Passwords:
    """Checks passwords: as slowly for an unknown account as for a wrong password, and only so often."""

    def __init__(self, accounts: AccountList, stored: Accounts, limiter: RateLimiter, rates: str) -> None:
        self._accounts = accounts
        self._stored = stored
        self._limiter = limiter
        self._rates = rates
        self._hashing = CapacityLimiter(_AT_ONCE)
        # Nobody knows a password with this hash, which costs as much as a real one.
        salt, digest = (base64.b64encode(bytes(size)).decode().rstrip("=") for size in (16, 32))
        costs = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
        self._nobody = f"$argon2id$v=19${costs}${salt}${digest}"

    async def verify(self, name: str, password: str, *, address: str, device: str = "") -> Account | None:
        """Return the account that a name and a password open, or None.

        Every attempt counts for the address. Only failures count for the account, so that signing in often locks nobody
        out. Failures of strangers lock strangers out: a device that has signed in before (`device`, empty for others)
        has a limit of its own.

        Raises RateLimited if too many attempts came from the address, or failed for the account.
        """
        subject = key_digest(f"{name}\n{device}")
        await self._limiter.spend(Kind.LOGINS_PER_ADDRESS, client_subject(address), self._rates)
        async with self._hashing:
            # Within the slot, so that attempts at the same time cannot exceed the limit by more than the slots.
            await self._limiter.check(Kind.LOGINS_PER_ACCOUNT, subject, self._rates)
            account = self._accounts.find(name)
            known = account.password if account is not None else ""
            matches = await to_thread.run_sync(_matches, known or self._nobody, password)
            if account is None or not known or not matches:
                await self._limiter.spend(Kind.LOGINS_PER_ACCOUNT, subject, self._rates)
                return None
            new = await to_thread.run_sync(hash_password, password) if _HASHER.check_needs_rehash(known) else None
        try:
            await self._stored.note_login(name, datetime.now(UTC), None if new is None else (known, new))
        except CatalogUnavailable:
            _logger.debug("the use of an account cannot be stored now")
        return account

    async def hash(self, password: str) -> str:
        """Return the hash of a password."""
        return await to_thread.run_sync(hash_password, password, limiter=self._hashing)


class SetupLinks:
    """The link that creates an account without signing in: once, and within a day. Only its hash is stored."""

    def __init__(self, shared: Secrets) -> None:
        self._shared = shared

    async def create(self) -> str:
        """Return the token of a new link, which replaces the former one."""
        token = secrets.token_urlsafe(32)
        await self._shared.replace(_LINK, f"{key_digest(token)} {int(time.time()) + _LINK_SECONDS}")
        return token

    async def waiting(self) -> bool:
        """Return whether there is a link that can be used."""
        return _expiry(await self._shared.find(_LINK)) > time.time()

    async def valid(self, token: str) -> bool:
        """Return whether the link of a token can be used."""
        return await self._stored_for(token) is not None

    async def use(self, token: str) -> bool:
        """Use the link up; return whether it could be used, which is true for one caller."""
        stored = await self._stored_for(token)
        return stored is not None and await self._shared.use_up(_LINK, stored)

    async def withdraw(self) -> None:
        """Remove the link."""
        await self._shared.remove(_LINK)

    async def _stored_for(self, token: str) -> str | None:
        stored = await self._shared.find(_LINK)
        mine = stored is not None and secrets.compare_digest(stored.partition(" ")[0], key_digest(token))
        return stored if mine and _expiry(stored) > time.time() else None


def _expiry(stored: str | None) -> float:
    return float(stored.partition(" ")[2]) if stored is not None else -math.inf


def _matches(known: str, password: str) -> bool:
    try:
        return _HASHER.verify(known, _plain(password))
    except (Argon2Error, InvalidHashError):
        return False


def _plain(password: str) -> bytes:
    """Return the bytes of a password, the same however a keyboard composes its letters."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
