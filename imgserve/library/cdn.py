"""Purge the caches in front of the server."""

import contextlib
import itertools
import json
import logging
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote

import anyio
import httpx2

from imgserve.http.headers import EVERYTHING, image_tag, quoted_id
from imgserve.metrics import Metrics

_logger = logging.getLogger(__name__)
_GATHERED_SECONDS = 0.2
_MOST_IMAGES = 50_000
"""Images that may wait for a cache; if there are more, everything is purged, which is one call."""
_AT_ONCE = 4
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_TIMEOUT = 10.0
_RETRIED = {408, 425, 429}
_LAST_CHANCE = 3.0
"""Seconds for the remaining purges when the server stops."""
_CLOUDFLARE_TAGS = 30
"""Tags per call: developers.cloudflare.com/cache/how-to/purge-cache/purge-by-tags."""
_FASTLY_KEYS = 256
"""Keys per call: www.fastly.com/documentation/reference/api/purging."""
_BAN_TAGS = 50
"""About 1000 bytes of a header; the limit of Varnish is 8 KB."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Drop:
    """What to purge: images by their ids, everything with these tags, or everything."""

    image_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    everything: bool = False

    @property
    def all_tags(self) -> tuple[str, ...]:
        """The tags of all that is to be purged."""
        return (EVERYTHING,) if self.everything else (*map(image_tag, self.image_ids), *self.tags)


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to a cache."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Hidden from logs, because they contain tokens."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Cloudflare:
    """Purge by `Cache-Tag`."""

    zone: str
    token: str = field(repr=False)
    api: str = "https://api.cloudflare.com/client/v4"
    name: str = "cloudflare"

    def calls(self, drop: Drop) -> Iterator[Call]:
        """Yield the requests that purge something."""
        url = f"{self.api}/zones/{quote(self.zone, safe='')}/purge_cache"
        headers = (("authorization", f"Bearer {self.token}"), ("content-type", "application/json"))
        for tags in _pieces(drop.all_tags, _CLOUDFLARE_TAGS):
            yield Call("POST", url, headers, json.dumps({"tags": tags}).encode())


@dataclass(frozen=True, slots=True)
class Fastly:
    """Purge by `Surrogate-Key`; after a soft purge Fastly serves stale content while it revalidates."""

    service: str
    token: str = field(repr=False)
    soft: bool = True
    api: str = "https://api.fastly.com"
    name: str = "fastly"

    def calls(self, drop: Drop) -> Iterator[Call]:
        """Yield the requests that purge something."""
        url = f"{self.api}/service/{quote(self.service, safe='')}/purge"
        headers = [("fastly-key", self.token), ("content-type", "application/json")]
        if self.soft:
            headers.append(("fastly-soft-purge", "1"))
        for keys in _pieces(drop.all_tags, _FASTLY_KEYS):
            yield Call("POST", url, tuple(headers), json.dumps({"surrogate_keys": keys}).encode())


@dataclass(frozen=True, slots=True)
class Varnish:
    """Send `BAN` with a header that contains a regular expression for `Cache-Tag`, which the VCL has to apply."""

    url: str
    name: str = "varnish"

    def calls(self, drop: Drop) -> Iterator[Call]:
        """Yield the requests that purge something."""
        for tags in _pieces(drop.all_tags, _BAN_TAGS):
            # Without spaces, which would end the expression in a ban.
            pattern = rf"(^|[\s,])({'|'.join(map(re.escape, tags))})([\s,]|$)"
            yield Call("BAN", self.url, (("x-cache-tag", pattern),))


@dataclass(frozen=True, slots=True)
class PlainPurge:
    """Send `PURGE` of paths, for caches without tags: of each image, and of all paths that start like it.

    The asterisk follows the dot of the extension, because another extension in a URL requests another format.
    """

    url: str
    prefix: str
    """The part of URLs before an image id."""
    name: str = "purge"

    def calls(self, drop: Drop) -> Iterator[Call]:
        """Yield the requests that purge something; tags purge everything, because the cache does not know them."""
        if drop.everything or drop.tags:
            yield Call("PURGE", f"{self.url}{self.prefix}/*")
            return
        for image_id in drop.image_ids:
            try:
                path = quoted_id(image_id)
            except UnicodeEncodeError:
                continue  # no URL can contain this id
            folder, slash, name = path.rpartition("/")
            stem, dot, _ = name.rpartition(".")
            start = f"{folder}{slash}{stem}{dot}" if stem else path
            yield Call("PURGE", f"{self.url}{self.prefix}/{path}")
            yield Call("PURGE", f"{self.url}{self.prefix}/{start}*")


Hook = Cloudflare | Fastly | Varnish | PlainPurge
"""A cache that can be purged; its name is for logs and metrics."""


def _pieces(values: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(values)
    while piece := list(itertools.islice(rest, size)):
        yield piece


@dataclass(slots=True)
class _Waiting:
    """What is still to be purged from one cache."""

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
    """Purges caches in the background. A call that fails is repeated for a configured time, then logged."""

    def __init__(self, hooks: Iterable[Hook], metrics: Metrics, *, give_up: float) -> None:
        """Create a purger that repeats a failing call for `give_up` seconds."""
        self._waiting = [_Waiting(hook) for hook in hooks]
        self._metrics = metrics
        self._give_up = give_up

    def purged(self, image_ids: Collection[str] | None, tags: Collection[str] = ()) -> None:
        """Queue images, and everything with these tags; None for everything."""
        drop = Drop(everything=True) if image_ids is None else Drop(tuple(image_ids), tuple(tags))
        for waiting in self._waiting if drop.all_tags else ():
            waiting.add(drop)

    async def run(self) -> None:
        """Purge the caches until cancelled; then try once to purge what still waits."""
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
                            await self._purge(client, waiting.hook, waiting.take(), again=False)

    async def _serve(self, client: httpx2.AsyncClient, waiting: _Waiting) -> None:
        while True:
            await waiting.news.wait()
            await anyio.sleep(_GATHERED_SECONDS)
            drop = waiting.take()
            try:
                await self._purge(client, waiting.hook, drop, again=True)
            except anyio.get_cancelled_exc_class():
                waiting.add(drop)
                raise
            except Exception:
                # The edge of a task: the failure must not affect other caches or later purges.
                _logger.exception("%s could not be purged", waiting.hook.name)

    async def _purge(self, client: httpx2.AsyncClient, hook: Hook, drop: Drop, *, again: bool) -> None:
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
            retry, requested = again, 0.0
            try:
                answer = await client.request(call.method, call.url, headers=dict(call.headers), content=call.body)
            except httpx2.InvalidURL as failure:  # too long, so no client can have requested it
                error, retry = f"{type(failure).__name__}: {failure}", False
            except httpx2.HTTPError as failure:
                error = f"{type(failure).__name__}: {failure}"
            else:
                # A cache answers a PURGE with 404 if it does not contain the path.
                if answer.is_success or (call.method == "PURGE" and answer.status_code == httpx2.codes.NOT_FOUND):
                    self._metrics.cdn_purges.labels(hook.name, "ok").inc()
                    return
                error = f"status {answer.status_code}"
                retry = again and (answer.is_server_error or answer.status_code in _RETRIED)
                with contextlib.suppress(ValueError):  # a date
                    requested = float(answer.headers.get("retry-after", 0))
            if not retry or time.monotonic() - started > self._give_up:
                _logger.error("%s did not accept %s %s: %s", hook.name, call.method, call.url, error)
                self._metrics.cdn_purges.labels(hook.name, "failed").inc()
                return
            self._metrics.cdn_purges.labels(hook.name, "retried").inc()
            await anyio.sleep(min(_LONGEST_PAUSE, max(pause, requested)))
            pause *= 2
