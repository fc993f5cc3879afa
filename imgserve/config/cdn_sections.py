"""The sections about caches in front of the server: what they are told with answers, and when something is purged."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from imgserve.config.units import Duration
from imgserve.config.values import Section, Words, mistake

_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?", re.IGNORECASE)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _is_address(text: str) -> bool:
    return bool(_ADDRESS.fullmatch(text))


def _address(text: str) -> str:
    if not _is_address(text):
        raise mistake("an address such as https://api.example.com")
    return text.rstrip("/")


def _addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_is_address, values)):
        raise mistake("addresses such as http://127.0.0.1:6081")
    return tuple(value.rstrip("/") for value in values)


def _headers(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_HEADER.fullmatch, values)):
        raise mistake("names of headers such as Cache-Tag")
    return values


Address = Annotated[str, AfterValidator(_address)]
"""Where an API is, without a slash at the end."""
Addresses = Annotated[Words, AfterValidator(_addresses)]
"""Where caches are."""


class CloudflareConfig(Section):
    """Cloudflare, told by Cache-Tag."""

    zone: str = ""
    """Id of the zone; empty for no calls to Cloudflare."""
    token: SecretStr = SecretStr("")
    """API token that may purge the zone."""
    api: Address = "https://api.cloudflare.com/client/v4"
    """Where the API is."""


class FastlyConfig(Section):
    """Fastly, told by Surrogate-Key."""

    service: str = ""
    """Id of the service; empty for no calls to Fastly."""
    token: SecretStr = SecretStr("")
    """API token that may purge the service."""
    soft: bool = True
    """Let Fastly show what it has while it asks again."""
    api: Address = "https://api.fastly.com"
    """Where the API is."""


class CdnConfig(Section):
    """Caches in front of the server."""

    tag_headers: Annotated[Words, AfterValidator(_headers)] = ("Cache-Tag", "Surrogate-Key")
    """Headers that tell caches the tags of a picture; an empty list for none."""
    cloudflare: CloudflareConfig = CloudflareConfig()
    fastly: FastlyConfig = FastlyConfig()
    varnish_urls: Addresses = ()
    """Varnish servers that are sent BAN when pictures are purged, such as http://127.0.0.1:6081."""
    purge_urls: Addresses = ()
    """Other caches that are sent PURGE with the paths of pictures, such as http://127.0.0.1:8080."""
    give_up: Annotated[Duration, Field(le=86400)] = 3600.0
    """How long a cache that does not answer is told again."""
