"""From a URL and a class of clients to the one rendition that is meant."""

from dataclasses import dataclass, field
from time import time
from urllib.parse import unquote_to_bytes

from cachetools import LRUCache
from starlette.types import Scope

from imgserve.cache.key import RenditionKey
from imgserve.errors import ImageNotFound
from imgserve.http.conditional import last_modified_header
from imgserve.http.headers import CachePolicy, content_disposition, file_name_for, tags_of
from imgserve.http.negotiation import AcceptClass, accept_class
from imgserve.images.locate import CachedStat, Locator
from imgserve.images.resolve import RenditionRequest, Resolver
from imgserve.model import Original
from imgserve.transform import Transform
from imgserve.web.respond import UNSETTLED, RawHeaders, Validators, lasting_headers, tag_headers

_REMEMBERED = 8192
_MOST_URL = 1024
"""A longer URL is not remembered, so that what is stays small."""


@dataclass(frozen=True, slots=True)
class UrlOptions:
    """What the settings decide about URLs and their answers, beside what queries mean."""

    prefix: str
    policy: CachePolicy
    tag_headers: tuple[str, ...] = ()
    """Headers that tell caches the tags of a picture."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One picture, as long as its original stays the same."""

    original: Original
    transform: Transform
    key: RenditionKey
    validators: Validators
    lasting: RawHeaders
    """Headers that a 200 and a 304 share, the entity tag aside."""
    disposition: str
    vary: tuple[str, ...]
    notes: tuple[str, ...]
    """What parsing had to clamp."""
    formats: tuple[str, ...] = ()
    """Those that the URL leaves open and the client takes, the chosen one among them."""
    tags: RawHeaders = field(default_factory=list)
    """Headers by which caches in front know this picture."""

    def lasting_for(self, etag: str | None, *, settled: bool) -> RawHeaders:
        """Return the shared headers; caches are not to keep what shows an original that may still be written."""
        tagged = [] if etag is None else [(b"etag", etag.encode("latin-1"))]
        lasting = self.lasting if settled else lasting_headers(self.validators, UNSETTLED, self.vary)
        return [*tagged, *lasting, *self.tags]


class Identifier:
    """Tells which picture a request means, remembering what it told before."""

    def __init__(self, finder: Locator, meaning: Resolver, options: UrlOptions) -> None:
        self._finder = finder
        self._meaning = meaning
        self._options = options
        self._known: LRUCache[tuple[str, bytes, AcceptClass], tuple[Original, Wanted]] = LRUCache(_REMEMBERED)

    async def identify(self, scope: Scope, accept: str) -> tuple[Wanted, tuple[CachedStat, ...]]:
        """Find the original and settle what is to be made of it; tell on what was seen that rests.

        Raises:
            ImageNotFound, BadTransform, UnsupportedImage, OriginalUnsettled: as the names say.
        """
        path, query, accepted = image_path(scope, self._options.prefix), scope["query_string"], accept_class(accept)
        found = await self._finder.find(path)
        known = self._known.get((path, query, accepted))
        if known is not None and known[0] is found.original:
            return known[1], found.sights
        wanted = self._wanted(self._meaning.of(found, query, accepted))
        if len(path) + len(query) <= _MOST_URL:
            self._known[path, query, accepted] = (found.original, wanted)
        return wanted, found.sights

    def forget(self, image_id: str) -> None:
        """Look at the original again at the next request."""
        self._finder.forget(image_id)

    def _wanted(self, meant: RenditionRequest) -> Wanted:
        options, original, asked, key = self._options, meant.original, meant.asked, meant.key
        # Both by the same clock: a file may be of tomorrow, the answer's Date may not.
        now = time()
        modified = min(original.modified_ns // 1_000_000_000, int(now))
        validators = Validators(key.tag, last_modified_header(original.modified_ns, now), modified)
        # A property of the URL, whatever was chosen: a cache must ask again for another client.
        vary = ("Accept",) if "format" in asked.transform.auto else ()
        return Wanted(
            original,
            meant.transform,
            key,
            validators,
            lasting_headers(validators, options.policy, vary),
            _disposition(original.image_id, asked.download, key.extension),
            vary,
            asked.notes,
            meant.formats,
            tag_headers(options.tag_headers, tags_of(original.image_id, asked.preset)),
        )


def image_path(scope: Scope, prefix: str) -> str:
    """Decode what follows the prefix, once, byte by byte: a name need not be UTF-8.

    Raises:
        ImageNotFound: the prefix itself is spelled in another way.
    """
    start = f"{scope.get('root_path', '')}{prefix}/".encode()
    raw: bytes = scope["raw_path"]
    if not raw.startswith(start):
        raise ImageNotFound
    return unquote_to_bytes(raw[len(start) :]).decode("utf-8", "surrogateescape")


def _disposition(image_id: str, download: str | None, extension: str) -> str:
    name = download or file_name_for(image_id, extension)
    if "." not in name:
        name = f"{name}.{extension}"
    return content_disposition("inline" if download is None else "attachment", name)
