"""From a URL and a class of clients to the one picture that is meant: find, parse, negotiate, settle, name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import time
from urllib.parse import unquote_to_bytes

from cachetools import LRUCache
from starlette.types import Scope

from imgserve.cache.key import RenditionKey
from imgserve.errors import ImageNotFound
from imgserve.formats import FORMATS, Format, default_output
from imgserve.model import Original
from imgserve.services.cdn import tags_of
from imgserve.services.finding import Finder, Found, Sight
from imgserve.services.renditions import Renditions
from imgserve.transform import Asked, Preset, Transform, parse_query, settle, snapped
from imgserve.web.cache_headers import CachePolicy
from imgserve.web.conditional import last_modified_header
from imgserve.web.disposition import content_disposition, file_name_for
from imgserve.web.negotiate import AcceptClass, accept_class, choose_format
from imgserve.web.respond import UNSETTLED, RawHeaders, Validators, lasting_headers, tag_headers

_REMEMBERED = 8192
_MOST_URL = 1024
"""A longer URL is not remembered, so that what is stays small."""


@dataclass(frozen=True, slots=True)
class UrlOptions:
    """What the settings decide about the meaning of a URL."""

    prefix: str
    presets: Mapping[str, Preset]
    strict: bool
    max_side: int
    avif_pixels: int
    qualities: Mapping[str, int]
    policy: CachePolicy
    sizes: tuple[int, ...] = ()
    """The only widths and heights made, ascending; others become the next larger. Empty: any."""
    tag_headers: tuple[str, ...] = ()
    """Headers that tell caches the tags of a picture."""
    pass_svg: bool = False
    """An SVG of which nothing is asked is passed on, sanitized, instead of drawn."""


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
        """Give the shared headers; caches are not to keep what shows an original that may still be written."""
        tagged = [] if etag is None else [(b"etag", etag.encode("latin-1"))]
        lasting = self.lasting if settled else lasting_headers(self.validators, UNSETTLED, self.vary)
        return [*tagged, *lasting, *self.tags]


class Identifier:
    """Tells which picture a request means, remembering what it told before."""

    def __init__(self, finder: Finder, renditions: Renditions, options: UrlOptions) -> None:
        """Take who finds originals, who names renditions, and the settings."""
        self._finder = finder
        self._renditions = renditions
        self._options = options
        self._known: LRUCache[tuple[str, bytes, AcceptClass], tuple[Original, Wanted]] = LRUCache(_REMEMBERED)

    async def identify(self, scope: Scope, accept: str) -> tuple[Wanted, tuple[Sight, ...]]:
        """Find the original and settle what is to be made of it; tell on what was seen that rests.

        Raises:
            ImageNotFound, BadTransform, UnsupportedImage, OriginalUnsettled: as the names say.
        """
        path, query, accepted = image_path(scope, self._options.prefix), scope["query_string"], accept_class(accept)
        found = await self._finder.find(path)
        known = self._known.get((path, query, accepted))
        if known is not None and known[0] is found.original:
            return known[1], found.sights
        wanted = self._settle(found, query, accepted)
        if len(path) + len(query) <= _MOST_URL:
            self._known[path, query, accepted] = (found.original, wanted)
        return wanted, found.sights

    def forget(self, image_id: str) -> None:
        """Look at the original again at the next request."""
        self._finder.forget(image_id)

    def _settle(self, found: Found, query: bytes, accepted: AcceptClass) -> Wanted:
        options, original = self._options, found.original
        asked = parse_query(
            query,
            strict=options.strict,
            presets=options.presets,
            path_preset=found.preset,
            default=options.presets.get("default"),
            max_side=options.max_side,
        )
        if options.sizes:
            asked = snapped(asked, options.sizes)
        if options.pass_svg and _asks_nothing(found, asked) and original.format.name == "svg":
            transform = Transform(format="svg")
        else:
            output = self._output(found, asked, accepted)
            transform = settle(
                asked.transform,
                original.format,
                output,
                qualities=options.qualities,
                focal_point=original.focal_point is not None,
            )
        key = self._renditions.key(original, transform)
        # Both by the same clock: a file may be of tomorrow, the answer's Date may not.
        now = time()
        modified = min(original.modified_ns // 1_000_000_000, int(now))
        validators = Validators(key.tag, last_modified_header(original.modified_ns, now), modified)
        # A property of the URL, whatever was chosen: a cache must ask again for another client.
        vary = ("Accept",) if "format" in asked.transform.auto else ()
        return Wanted(
            original,
            transform,
            key,
            validators,
            lasting_headers(validators, options.policy, vary),
            _disposition(original.image_id, asked.download, key.extension),
            vary,
            asked.notes,
            _formats(original, asked, accepted, transform),
            tag_headers(options.tag_headers, tags_of(original.image_id, asked.preset)),
        )

    def _output(self, found: Found, asked: Asked, accepted: AcceptClass) -> Format:
        """Decide the output format: named, else negotiated, else the path's extension, else the original's."""
        original, transform = found.original, asked.transform
        if "format" in transform.auto:
            pixels = self._renditions.output_pixels(original, transform) if "avif" in accepted else 0
            chosen = choose_format(accepted, original.format, pixels, self._options.avif_pixels)
            if chosen.name in accepted or not transform.format:
                return chosen
        name = transform.format or found.format
        return FORMATS[name] if name else default_output(original.format)


def _asks_nothing(found: Found, asked: Asked) -> bool:
    return found.format is None and (asked.preset == "default" or not asked.given)


def _formats(original: Original, asked: Asked, accepted: AcceptClass, chosen: Transform) -> tuple[str, ...]:
    """List what may be answered: what is named stays, what is negotiated may be any that the client takes."""
    named = chosen.format or original.format.name
    if "format" not in asked.transform.auto:
        return (named,)
    fallback = asked.transform.format or choose_format((), original.format, 0, 0).name
    return tuple(dict.fromkeys((named, *accepted, fallback)))


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
