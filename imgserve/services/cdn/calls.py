"""What to tell a cache so that it drops pictures: a class for each kind of cache, requests as values. Sends nothing."""

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from urllib.parse import quote

from imgserve.client.address import quoted_id
from imgserve.services.cdn.tags import EVERYTHING, image_tag

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
