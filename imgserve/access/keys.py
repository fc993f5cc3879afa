"""API keys: what their holders may do, and the keys that are valid now."""

import hashlib
import logging
import math
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import anyio
from cachetools import LRUCache

from imgserve.catalog import ApiKey, ApiKeys
from imgserve.errors import CatalogUnavailable

_logger = logging.getLogger(__name__)
_POLL_SECONDS = 0.4
"""A key that another process revoked is rejected after this time."""
_NOTE_SECONDS = 60.0
"""Between two notes of when keys were used."""
_LEAST_PAUSE = 0.1
"""Between two looks at the catalog for unknown keys, so that guessing costs little."""
_MAX_UNKNOWN = 1024
PERSON = "account:"
"""The names of people begin with it."""


class Scope(StrEnum):
    """A permission of an API key."""

    READ = "read"
    UPLOAD = "upload"
    MANAGE = "manage"
    IMPORT = "import"
    ADMIN = "admin"
    """Everything, including keys and accounts."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller, and what it may do."""

    name: str
    """`admin`, `key:` and the id of the key, or `account:` and its name; recorded with uploads and in the audit log."""
    scopes: frozenset[Scope]
    prefixes: tuple[str, ...] = ()
    """It may see image ids that start with one of these; empty for all."""
    presets: frozenset[str] = frozenset()
    """It may request pictures with these presets; empty for any parameters."""
    until: float = math.inf
    """When the permission expires, in Unix seconds."""

    def may(self, scope: Scope) -> bool:
        """Return whether the caller has a scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def is_person(self) -> bool:
        """Whether it is a person who is signed in."""
        return self.name.startswith(PERSON)

    def covers(self, image_id: str) -> bool:
        """Return whether the caller may see an image."""
        return not self.prefixes or image_id.startswith(self.prefixes)


ADMIN = Caller("admin", frozenset({Scope.ADMIN}))
"""The holder of the admin key."""


def key_digest(key: str) -> str:
    """Return the stored hash of a key, whose randomness needs no slow hash function."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def random_key() -> str:
    """Return a new key of 256 random bits."""
    return f"img_{secrets.token_urlsafe(32)}"


def new_key(
    name: str,
    scopes: Iterable[Scope],
    *,
    prefixes: Iterable[str] = (),
    presets: Iterable[str] = (),
    site: str = "",
    expires: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Return a new key as it is stored, and the key itself, which is shown once."""
    key = random_key()
    stored = ApiKey(
        key_id=secrets.token_hex(4),
        name=name,
        digest=key_digest(key),
        scopes=tuple(sorted(scopes)),
        created=datetime.now(UTC),
        prefixes=tuple(prefixes),
        presets=tuple(sorted(preset.lower() for preset in presets)),
        site=site,
        expires=expires,
    )
    return stored, key


class KeyRing:
    """The valid keys, in the memory of this process. The catalog is asked several times a second what has changed."""

    def __init__(self, keys: ApiKeys, folders: Mapping[str, str]) -> None:
        """Use the keys of a catalog; `folders` are the starts of the image ids of sites, by their names."""
        self._keys = keys
        self._folders = folders
        self._callers = dict[str, Caller]()
        self._state: tuple[int, ...] | None = None
        self._used = dict[str, float]()
        self._lock = anyio.Lock()
        self._looked = -math.inf
        self._unknown: LRUCache[str, None] = LRUCache(_MAX_UNKNOWN)
        """Hashes that were looked up in vain; one that becomes a key is found when the keys are read again."""

    def find(self, digest: str) -> Caller | None:
        """Return the caller with a key of this hash, or None if no valid key has it."""
        caller, now = self._callers.get(digest), time.time()
        if caller is None or now >= caller.until:
            return None
        self._used[caller.name] = now
        return caller

    async def look(self, digest: str) -> Caller | None:
        """Return the same, after asking the catalog about an unknown key, which may be new.

        Those that wait for the end of the pause between two looks share one look.
        """
        caller = self.find(digest)
        if caller is None and digest not in self._unknown:
            asked = time.monotonic()
            await anyio.sleep(max(0.0, self._looked + _LEAST_PAUSE - asked))
            await self.refresh(asked)
            caller = self.find(digest)
            if caller is None:
                self._unknown[digest] = None
        return caller

    async def refresh(self, since: float = math.inf) -> None:
        """Read the keys again if they have changed, unless another look has begun since a time.

        Without the catalog, the known ones stay valid.
        """
        async with self._lock:
            if self._looked > since:
                return
            self._looked = time.monotonic()
            try:
                state = await self._keys.state()
                if state != self._state:
                    self._callers = dict(self._read(await self._keys.all()))
                    self._state = state
            except CatalogUnavailable:
                _logger.debug("the keys cannot be read now")  # the catalog logs why

    async def run(self) -> None:
        """Follow changes of the keys, and store when they were used, until cancelled."""
        noted = time.monotonic()
        while True:
            await self.refresh()
            if time.monotonic() - noted >= _NOTE_SECONDS:
                noted = time.monotonic()
                await self.note_use()
            await anyio.sleep(_POLL_SECONDS)

    async def note_use(self) -> None:
        """Store when keys were last used."""
        used, self._used = self._used, {}
        rows = [(name.removeprefix("key:"), datetime.fromtimestamp(at, UTC)) for name, at in used.items()]
        try:
            await self._keys.note_use(rows)
        except CatalogUnavailable:
            self._used = {**used, **self._used}

    def _read(self, keys: Iterable[ApiKey]) -> Iterable[tuple[str, Caller]]:
        for key in keys:
            folder = self._folders.get(key.site, "")
            prefixes = _within(folder, key.prefixes) if key.site else key.prefixes
            if key.site and not (folder and prefixes):
                _logger.warning("the key %s opens nothing: it is for a folder of the site %s", key.key_id, key.site)
                continue
            until = math.inf if key.expires is None else key.expires.timestamp()
            scopes = frozenset(Scope(scope) for scope in key.scopes if scope in set(Scope))
            yield key.digest, Caller(f"key:{key.key_id}", scopes, prefixes, frozenset(key.presets), until)


def _within(folder: str, prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the prefixes of ids in a folder, or the folder if there are none; empty if all are elsewhere."""
    if not prefixes:
        return (folder,)
    narrowed = (prefix if prefix.startswith(folder) else folder for prefix in prefixes)
    both = zip(prefixes, narrowed, strict=True)
    return tuple(one for prefix, one in both if prefix.startswith(folder) or folder.startswith(prefix))
