"""Pictures that nginx serves from the cache folder: which ones, under which names, and with which headers."""

import re
from itertools import combinations

from imgserve.access.access import Grant
from imgserve.cache.published import PublishedLinks
from imgserve.http.headers import Cors, RawHeaders, cache_control
from imgserve.model import Rendition
from imgserve.web.hot_table import TARGET, Place
from imgserve.web.respond import SAFETY, ImageResponse, UrlOptions, image_path

_SEGMENT = r"[A-Za-z0-9_~%][A-Za-z0-9._~%!,()+=-]{0,199}"
_PATH = rf"{_SEGMENT}(?:/{_SEGMENT}){{0,30}}"
_QUERY = r"[A-Za-z0-9._~%,:;=&+!*()-]{0,200}"
FIXED = "fixed"
"""The folder of URLs whose format is the same for all clients; others are in the folder of a class of clients."""
EXTENSIONS = ("avif", "webp", "jpg", "png", "gif")
"""Of published pictures, the likeliest first."""
_MODERN = ("avif", "jxl", "webp")
_COMBINATIONS = tuple(names for number in (3, 2, 1) for names in combinations(_MODERN, number))
ACCEPT_RULES = (
    # A weight or another parameter of a modern format, quotes, or very many ranges: only imgserve can tell.
    (r"image/(?:avif|jxl|webp)[ \t]*;", ""),
    (r'^(?!(?:[^",]{0,200},){0,40}[^",]{0,200}$)', ""),
    # What is named without a weight is preferred to everything else.
    *(
        ("^" + "".join(rf"(?=(?:.*,)?[ \t]*image/{name}[ \t]*(?:,|$))" for name in names), "-".join(names))
        for names in _COMBINATIONS
    ),
    ("^", "none"),
)
"""Patterns to search for in an Accept header, in any case, and the class of clients that the first match means.

Clients of one class are of one class in `accept_class` too. Those with an empty class are left to imgserve.
"""
_OF_THE_FILE = frozenset({b"etag", b"last-modified", b"content-type", b"accept-ranges", b"vary"})
_OMITTED = frozenset({b"content-disposition", b"x-image-adjusted", b"x-image-ignored"})
"""Headers, besides cache tags, that a web server does not send; a download is never published."""


def target_pattern(prefix: str) -> str:
    """Return the pattern of targets whose pictures can be published, with one group for the path and one for the query.

    No segment starts with a dot, and none is longer than a file name may be.
    """
    return rf"{re.escape(prefix)}/({_PATH})(?:\?({_QUERY}))?"


def accept_folder(accept: str) -> str:
    """Return the class of an Accept header; empty if only imgserve can tell."""
    return next(name for pattern, name in ACCEPT_RULES if re.search(pattern, accept, re.IGNORECASE))


def common_headers(options: UrlOptions, cors: Cors) -> RawHeaders:
    """Return the headers of every published picture besides those of its file."""
    policy = (b"cache-control", cache_control(options.policy).encode())
    return [policy, *SAFETY, (b"cross-origin-resource-policy", b"cross-origin"), *cors.headers(None)]


class PublishedPictures:
    """Publishes pictures that everybody receives, with headers that do not depend on the picture."""

    def __init__(self, links: PublishedLinks, options: UrlOptions, cors: Cors) -> None:
        self._links = links
        self._prefix = options.prefix
        self._target = re.compile(target_pattern(options.prefix))
        self._headers = dict(common_headers(options, cors))
        self._omitted = _OF_THE_FILE | _OMITTED | {name.lower().encode() for name in options.tag_headers}

    def offer(self, place: Place, grant: Grant, response: ImageResponse, rendition: Rendition) -> None:
        """Publish a picture, if a web server may send it and can."""
        if not self._is_public(place, grant, response):
            return
        headers = dict([*response.headers(rendition, settled=True), *place.headers])
        vary, disposition = headers.get(b"vary", b""), headers[b"content-disposition"]
        folder = {b"": FIXED, b"Accept": accept_folder(place.accept)}.get(vary, "")
        target = self._target.fullmatch(place.scope.get("state", {}).get(TARGET, b"").decode("latin-1"))
        extension = response.request.key.extension
        others = {name: value for name, value in headers.items() if name not in self._omitted}
        plain = others == self._headers and disposition.startswith(b"inline") and extension in EXTENSIONS
        if folder and target and plain:
            name = f"{folder}/{target[1]}/@{target[2] or ''}.{extension}"
            self._links.offer(name, response.request.key)

    def _is_public(self, place: Place, grant: Grant, response: ImageResponse) -> bool:
        """Return whether the picture depends on the URL and the image of its path alone.

        A path without the extension of its file means another image as soon as there is a file of that name.
        """
        free = grant.caller is None and grant.expires is None and not grant.domains and not grant.hotlinked
        path, image_id = image_path(place.scope, self._prefix), response.request.original.image_id
        exact = path in {image_id, f"{image_id}/{response.request.query.preset}"} and grant.image_id == path
        # A signature or a key in the query opens what nobody else may see.
        return free and exact and grant.query == place.scope["query_string"] and not place.scope.get("root_path")
