"""Caches in front of the server: tags by which they know pictures, and calls by which they drop them."""

from imgserve.services.cdn.calls import Call, Cloudflare, Drop, Fastly, Hook, PlainPurge, Varnish
from imgserve.services.cdn.purger import CdnPurger
from imgserve.services.cdn.tags import EVERYTHING, image_tag, preset_tag, tags_of

__all__ = [
    "EVERYTHING",
    "Call",
    "CdnPurger",
    "Cloudflare",
    "Drop",
    "Fastly",
    "Hook",
    "PlainPurge",
    "Varnish",
    "image_tag",
    "preset_tag",
    "tags_of",
]
