"""Purge calls to caches in front of the server."""

import contextlib
import itertools
import json
import logging
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from urllib.parse import quote

import anyio
import httpx2

from imgserve.client.address import quoted_id
from imgserve.http.headers import EVERYTHING, image_tag
from imgserve.metrics import Metrics

_CLOUDFLARE_TAGS = 30
"""Tags of one call: developers.cloudflare.com/cache/how-to/purge-cache/purge-by-tags."""
_FASTLY_KEYS = 256
"""Keys of one call: www.fastly.com/documentation/reference/api/purging."""
_BAN_TAGS = 50
"""Some 1000 bytes of a header, of which Varnish takes 8 KB."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Drop:
    """What is to go: images by their ids, everything with these tags, or everything."""

    image_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    everything: bool = False

    @property
    def all_tags(self) -> tuple[str, ...]:
        """The tags that stand for all of it."""
        return (EVERYTHING,) if self.everything else (*map(image_tag, self.image_ids), *self.tags)


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to a cache."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Hidden from logs, for they hold tokens."""
    body: bytes = b""


class Hook(Protocol):
    """A cache that can be told."""

    @property
    def name(self) -> str:
        """Kind of the cache, for logs and metrics."""
        ...

    def calls(self, drop: Drop) -> Iterator[Call]:
        """Write the requests that make it drop something."""
        ...


@dataclass(frozen=True, slots=True)
class Cloudflare:
    """Purge by `Cache-Tag`."""

    zone: str
    token: str = field(repr=False)
    api: str = "https://api.cloudflare.com/client/v4"
    name: str = "cloudflare"

    def calls(self, drop: Drop) -> Iterator[Call]:
        """Write the requests that make it drop something."""
        url = f"{self.api}/zones/{quote(self.zone, safe='')}/purge_cache"
        headers = (("authorization", f"Bearer {self.token}"), ("content-type", "application/json"))
        for tags in _pieces(drop.all_tags, _CLOUDFLARE_TAGS):
            yield Call("POST", url, headers, json.dumps({"tags": tags}).encode())


@dataclass(frozen=True, slots=True)
class Fastly:
    """Purge by `Surrogate-Key`; a soft one lets Fastly show what it has while it asks again."""

    service: str
    token: str = field(repr=False)
    soft: bool = True
    api: str = "https://api.fastly.com"
    name: str = "fastly"

    def calls(self, drop: Drop) -> Iterator[Call]:
        """Write the requests that make it drop something."""
        url = f"{self.api}/service/{quote(self.service, safe='')}/purge"
        headers = [("fastly-key", self.token), ("content-type", "application/json")]
        if self.soft:
            headers.append(("fastly-soft-purge", "1"))
        for keys in _pieces(drop.all_tags, _FASTLY_KEYS):
            yield Call("POST", url, tuple(headers), json.dumps({"surrogate_keys": keys}).encode())


@dataclass(frozen=True, slots=True)
class Varnish:
    """`BAN` with a header that holds a regular expression over `Cache-Tag`, which the VCL has to read."""

    url: str
    name: str = "varnish"

    def calls(self, drop: Drop) -> Iterator[Call]:
        """Write the requests that make it drop something."""
        for tags in _pieces(drop.all_tags, _BAN_TAGS):
            pattern = f"(^|[ ,])({'|'.join(map(re.escape, tags))})([ ,]|$)"
            yield Call("BAN", self.url, (("x-cache-tag", pattern),))


@dataclass(frozen=True, slots=True)
class PlainPurge:
    """`PURGE` of addresses, for caches without tags: of each picture's path, and of all that begins as it does.

    With an asterisk behind the dot of its extension: another extension in an address is another format of the picture.
    """

    url: str
    prefix: str
    """Before an image id in addresses."""
    name: str = "purge"

    def calls(self, drop: Drop) -> Iterator[Call]:
        """Write the requests that make it drop something; tags mean nothing here, so for them everything goes."""
        if drop.everything or drop.tags:
            yield Call("PURGE", f"{self.url}{self.prefix}/*")
            return
        for image_id in drop.image_ids:
            try:
                path = quoted_id(image_id)
            except UnicodeEncodeError:
                continue  # no picture was ever asked for by a name that is no bytes
            yield Call("PURGE", f"{self.url}{self.prefix}/{path}")
            yield Call("PURGE", f"{self.url}{self.prefix}/{_stem(path)}*")


def _stem(path: str) -> str:
    """Give what the addresses of a picture in all formats begin with."""
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem}{dot}" if stem else path


def _pieces(values: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(values)
    while piece := list(itertools.islice(rest, size)):
        yield piece


_logger = logging.getLogger(__name__)
_GATHERED_SECONDS = 0.2
_MOST_IMAGES = 50_000
"""Images that may wait to be told; beyond them everything is dropped, which is one call."""
_AT_ONCE = 4
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_TIMEOUT = 10.0
_RETRIED = {408, 425, 429}
_LAST_CHANCE = 3.0
"""Seconds at the end of the server for what still waits."""


@dataclass(slots=True)
class _Waiting:
    """What one cache is still to be told."""

    hook: Hook
    image_ids: dict[str, None] = field(default_factory=dict)
    tags: dict[str, None] = field(default_factory=dict)
    everything: bool = False
    news: anyio.Event = field(default_factory=anyio.Event)

    def add(self, drop: Drop) -> None:
        self.everything = self.everything or drop.everything
        self.image_ids.update(dict.fromkeys(drop.image_ids))
        self.tags.update(dict.fromkeys(drop.tags))
        if self.everything or len(self.image_ids) > _MOST_IMAGES:
            self.everything = True
            self.image_ids.clear()
            self.tags.clear()
        self.news.set()

    def take(self) -> Drop:
        drop = Drop(tuple(self.image_ids), tuple(self.tags), self.everything)
        self.image_ids, self.tags, self.everything, self.news = {}, {}, False, anyio.Event()
        return drop


class CdnPurger:
    """Never fails whoever purges: a cache that does not answer is told again, for as long as is set, then logged."""

    def __init__(self, hooks: Iterable[Hook], metrics: Metrics, *, give_up: float) -> None:
        """Take the caches, and seconds after which one that does not take a call is given up on."""
        self._waiting = [_Waiting(hook) for hook in hooks]
        self._metrics = metrics
        self._give_up = give_up

    async def purged(self, image_ids: Collection[str] | None, tags: Sequence[str] = ()) -> None:
        """Have caches drop images, and what has these tags; None for everything."""
        drop = Drop(everything=True) if image_ids is None else Drop(tuple(image_ids), tuple(tags))
        for waiting in self._waiting if drop.all_tags else ():
            waiting.add(drop)

    async def run(self) -> None:
        """Tell the caches until canceled; then once more what still waits, for a moment."""
        if not self._waiting:
            return
        async with httpx2.AsyncClient(timeout=_TIMEOUT, follow_redirects=False, trust_env=False) as client:
            try:
                async with anyio.create_task_group() as group:
                    for waiting in self._waiting:
                        group.start_soon(self._serve, client, waiting)
            finally:
                with anyio.move_on_after(_LAST_CHANCE, shield=True):
                    for waiting in self._waiting:
                        if waiting.news.is_set():
                            await self._tell(client, waiting.hook, waiting.take(), again=False)

    async def _serve(self, client: httpx2.AsyncClient, waiting: _Waiting) -> None:
        while True:
            await waiting.news.wait()
            await anyio.sleep(_GATHERED_SECONDS)
            drop = waiting.take()
            try:
                await self._tell(client, waiting.hook, drop, again=True)
            except anyio.get_cancelled_exc_class():
                waiting.add(drop)
                raise
            except Exception:
                # The edge of a task: what one cache cannot be told hinders no other, and nothing that comes later.
                _logger.exception("%s could not be told", waiting.hook.name)

    async def _tell(self, client: httpx2.AsyncClient, hook: Hook, drop: Drop, *, again: bool) -> None:
        limiter = anyio.CapacityLimiter(_AT_ONCE)

        async def one(call: Call) -> None:
            async with limiter:
                await self._call(client, hook, call, again=again)

        async with anyio.create_task_group() as group:
            for call in hook.calls(drop):
                group.start_soon(one, call)

    async def _call(self, client: httpx2.AsyncClient, hook: Hook, call: Call, *, again: bool) -> None:
        pause, started = _FIRST_PAUSE, time.monotonic()
        while True:
            trouble, retry, asked = await _send(client, call)
            if not trouble:
                self._metrics.cdn_purges.labels(hook.name, "ok").inc()
                return
            if not (again and retry) or time.monotonic() - started > self._give_up:
                _logger.error("%s did not take %s %s: %s", hook.name, call.method, call.url, trouble)
                self._metrics.cdn_purges.labels(hook.name, "failed").inc()
                return
            self._metrics.cdn_purges.labels(hook.name, "retried").inc()
            await anyio.sleep(min(_LONGEST_PAUSE, max(pause, asked)))
            pause *= 2


async def _send(client: httpx2.AsyncClient, call: Call) -> tuple[str, bool, float]:
    """Send one call; tell what is wrong if anything is, whether it may help to repeat it, and how soon."""
    try:
        answer = await client.request(call.method, call.url, headers=dict(call.headers), content=call.body)
    except httpx2.InvalidURL as error:  # of an image id that no cache can have been asked for, for its length
        return f"{type(error).__name__}: {error}", False, 0.0
    except httpx2.HTTPError as error:
        return f"{type(error).__name__}: {error}", True, 0.0
    if answer.is_success or (call.method == "PURGE" and answer.status_code == httpx2.codes.NOT_FOUND):
        return "", False, 0.0  # a cache answers 404 to the purge of what it does not have
    retry_after = 0.0
    with contextlib.suppress(ValueError):  # a date; the pause grows anyway
        retry_after = float(answer.headers.get("retry-after", 0))
    return f"status {answer.status_code}", answer.is_server_error or answer.status_code in _RETRIED, retry_after
