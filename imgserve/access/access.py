"""The one check of every entry point: image URLs, the API and the server's own pages."""

import hmac
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from urllib.parse import unquote_to_bytes

from imgserve.access.admin_key import KeyFileUnusableError, closed, read_digest
from imgserve.access.keys import ADMIN, Caller, KeyRing, Scope, key_digest
from imgserve.access.limiter import RateLimiter
from imgserve.access.rates import Kind, client_subject
from imgserve.access.sites import Rules, Site, Sites
from imgserve.errors import BadRequest, BadSignature, DomainDenied, Forbidden, LinkExpired, Unauthorized, Unavailable
from imgserve.images.convert import Count
from imgserve.images.resolve import Sees
from imgserve.images.settings import QuerySettings
from imgserve.metrics import Metrics
from imgserve.transform.pairs import is_signature, read_pair
from imgserve.transform.signing import canonical_text, verify, without

_logger = logging.getLogger(__name__)
Fields = Mapping[bytes, bytes]
"""The header fields of a request, each once, with names in lower case."""
Guard = Callable[[Fields], bool]
"""Returns whether a later request for the same URL may receive the same response."""
_CREDENTIALS = (b"authorization", b"x-api-key")
_MEMOIZED_LENGTH = 512


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A request for a picture, as far as rules depend on it."""

    fields: Fields
    path: str
    """The decoded path after the prefix."""
    raw_path: bytes
    """The whole path as it was sent."""
    query: bytes
    """As it was sent."""
    key: str | None = None
    """The API key in the headers."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a caller may see, and how the response may be cached."""

    image_id: str
    """The path of the picture, which may differ from that in the URL."""
    query: bytes
    """The query without signature, expiry and key."""
    settings: QuerySettings | None = None
    """What the query means and may request; None for the settings of the server."""
    site: str = ""
    caller: Caller | None = None
    exempt: bool = False
    """Whether no budget of new renditions applies."""
    guard: Guard | None = None
    """None if the decision depends on no header."""
    expires: int | None = None
    """When the permission ends, in Unix seconds."""
    private: bool = False
    """Whether no shared cache may store the response."""
    hotlinked: bool = False
    """Whether the picture stands for another one, so that no cache may store it."""
    domains: bool = False
    """Whether the response depends on Referer and Origin."""
    same_site: bool = False
    """Whether only pages of the same site may embed the picture, since the request names no page."""


class Access:
    """Checks who may do what."""

    def __init__(
        self,
        digest: str | KeyFileUnusableError,
        *,
        metrics: Metrics,
        sites: Sites,
        ring: KeyRing,
        limiter: RateLimiter,
        call_rates: Mapping[Kind, str] | None = None,
        replaced_in: Path | None = None,
    ) -> None:
        """Check calls against the hash of the admin key and the keys of the ring.

        `call_rates` are the limits of calls of the API and of uploads.

        Without a hash, the error closes the API to the admin key. `replaced_in` is the file in which a new hash may
        appear.
        """
        self.digest = digest
        self.sites = sites
        self.limiter = limiter
        self._call_rates = call_rates or {}
        self._rules = {site.name: site.rules for site in sites}
        self.ring = ring
        self._file, self._read_at = replaced_in, _modified(replaced_in)
        self._failures = metrics.access_failures
        self._preset_settings = dict[tuple[int, frozenset[str]], QuerySettings]()
        self._domains = {site.name: _memoized(site) for site in sites}

    def rules(self, site: str) -> Rules:
        """Return the rules of a site."""
        return self._rules[site]

    def state(self) -> str:
        """Return the state of the API, for readiness; pictures are served without it."""
        return "ok" if isinstance(self.digest, str) else f"degraded: {closed(self.digest)}"

    async def check(
        self, credential: str | None, scope: Scope, image_id: str | None = None, *, signed_in: Caller | None = None
    ) -> Caller:
        """Return the caller of a permitted call; without a key, it is the person who is signed in.

        Raises:
            Unauthorized: the key is missing or invalid.
            Forbidden: the key has another scope, or is for other images.
            Unavailable: there is no admin key, and the key is not another valid one.
        """
        caller = signed_in if credential is None else await self._identify(key_digest(credential))
        if caller is None:
            raise self._rejected("missing" if credential is None else "unknown")
        self._permit(caller, scope, image_id)
        return caller

    async def check_image(self, request: ImageRequest) -> Grant:
        """Return what a request for a picture may see; the cheapest rules come first.

        Raises:
            DomainDenied: the page may not show pictures of the site.
            BadSignature, LinkExpired: the signature is wrong, missing or no longer valid.
            Unauthorized, Forbidden: the key is missing or invalid, or opens other pictures.
            BadTransform: the query cannot be read.
        """
        fields, host = request.fields, request.fields.get(b"host", b"")
        site, image_id = self.sites.find(host, request.path)
        rules = site.rules
        if not self._domains[site.name](fields.get(b"referer", b""), fields.get(b"origin", b""), host):
            if not rules.hotlink_image:
                raise DomainDenied
            # A URL that would need a permission decides nothing, not even a size.
            query = request.query if rules.require == "nothing" else b""
            return Grant(rules.hotlink_image, query, rules.query, site.name, hotlinked=True, domains=True)
        query, key = _without_key(request.query), request.key
        if rules.key_in_url and (named := _key_in(request.query)) is not None:
            if key is not None and key != named:
                raise BadRequest("Different API keys came in the URL and in the headers.")
            key = named
        signed, expires = False, None
        if rules.require == "signature" or (rules.secrets and _is_signed(request.query)):
            verified = verify(rules.secrets, request.raw_path, request.query)
            if verified is None:
                text = {"signed_text": canonical_text(request.raw_path, request.query)} if rules.explain else {}
                raise BadSignature(members=text)
            if verified.expires is not None and verified.expires <= time.time():
                raise LinkExpired
            signed, query, expires = True, _without_key(verified.query), verified.expires
        digest = None if key is None else key_digest(key)
        caller = None if digest is None else await self._identify(digest)
        if rules.require == "key" or (rules.require == "either" and not signed):
            if caller is None:
                raise self._rejected("missing" if key is None else "unknown")
            self._permit(caller, Scope.READ, image_id)
        manages = caller is not None and caller.may(Scope.MANAGE) and caller.covers(image_id)
        # Not even a signature removes a watermark: it may be all that a URL needs.
        settings = site.rules.unmarked if manages else site.rules.free if signed else site.rules.query
        return Grant(
            image_id,
            query,
            self._of_key(settings, caller),
            site.name,
            caller,
            signed or manages,
            self._guard(site, fields, caller, digest, expires),
            expires,
            private=caller is not None,
            domains=rules.domains is not None,
            same_site=rules.domains is not None and not _names_page(fields),
        )

    def of_call(self, caller: Caller, image_id: str, address: str) -> tuple[QuerySettings, Count, Sees]:
        """Return what a call of the API may request of an image: by settings, what counts new renditions, which marks.

        Limits of variety and of new renditions do not apply to people, nor to keys with the scope `manage`.
        """
        site, exempt = self.sites.find(b"", image_id)[0], caller.may(Scope.MANAGE) or caller.is_person
        grant = Grant(image_id, b"", site=site.name, caller=caller, exempt=exempt)
        settings = site.rules.unmarked if exempt else site.rules.query
        return settings, partial(self.count_new, grant, address), partial(self.may_mark, grant)

    def may_mark(self, grant: Grant, image_id: str) -> bool:
        """Return whether an image may be a mark in a permitted picture: one of its site, or that the caller manages."""
        if grant.exempt and grant.caller is not None:
            return grant.caller.covers(image_id)
        return self.extends(grant, image_id)

    def extends(self, grant: Grant, image_id: str) -> bool:
        """Return whether a permission holds for the image that a URL turned out to mean.

        This may have another extension than the URL, be the folder of a preset's name, or have been moved.
        """
        if self.sites.by_folder(image_id) is not self.sites.by_folder(grant.image_id):
            return False
        caller = grant.caller
        return caller is None or caller.covers(image_id) or not caller.covers(grant.image_id)

    async def count_call(self, caller: Caller, scope: Scope, address: str) -> None:
        """Count a permitted call of the API, which may be an upload.

        Raises RateLimited if the caller has sent too many.
        """
        await self._count(Kind.API, caller, address)
        if scope is Scope.UPLOAD:
            await self.count_upload(caller, address)

    async def count_upload(self, caller: Caller, address: str) -> None:
        """Count an uploaded image; a call with several counts the first one itself. Raises as `count_call` does."""
        await self._count(Kind.UPLOADS, caller, address)

    async def count_new(self, grant: Grant, address: str) -> None:
        """Count a picture that has to be rendered; those of signed URLs and of keys that manage images are not counted.

        Raises RateLimited if there were too many for the client or of the image.
        """
        rules = self._rules[grant.site]
        if grant.exempt or not (rules.new_per_client or rules.new_per_image):
            return
        client = client_subject(address, None if grant.caller is None else grant.caller.name)
        await self.limiter.spend(Kind.NEW_PER_CLIENT, client, rules.new_per_client)
        await self.limiter.spend(Kind.NEW_PER_IMAGE, grant.image_id, rules.new_per_image)

    async def _count(self, kind: Kind, caller: Caller, address: str) -> None:
        if rates := self._call_rates.get(kind):
            await self.limiter.spend(kind, client_subject(address, caller.name), rates)

    async def _identify(self, digest: str) -> Caller | None:
        """Return the holder of the key with a hash, in constant time, or None if it is not valid."""
        self._read_replaced()
        if isinstance(self.digest, str) and hmac.compare_digest(digest, self.digest):
            return ADMIN
        return await self.ring.look(digest)

    def _permit(self, caller: Caller, scope: Scope, image_id: str | None) -> None:
        if not caller.may(scope):
            self._failures.labels("scope").inc()
            what = "account" if caller.is_person else "API key"
            raise _forbidden(f"This {what} lacks the scope {scope.value}.", caller)
        if image_id is not None and not caller.covers(image_id):
            self._failures.labels("prefix").inc()
            raise _forbidden("This API key is for other images.", caller)

    def _rejected(self, reason: str) -> Unauthorized | Unavailable:
        """Return the error of a missing or invalid key; without an admin key, the caller may not be to blame."""
        if isinstance(self.digest, str):
            self._failures.labels(reason).inc()
            return Unauthorized()
        self._failures.labels("closed").inc()
        return Unavailable(f"No call can be authorized: {closed(self.digest)}.")

    def _read_replaced(self) -> None:
        """Read the admin key's hash again if its file has changed; otherwise the former one stays valid."""
        modified = _modified(self._file)
        if modified != self._read_at and self._file is not None:
            self._read_at = modified
            try:
                self.digest = read_digest(self._file)
            except (OSError, KeyFileUnusableError) as error:
                _logger.warning("the new admin key cannot be read, the former one stays valid: %s", error)

    def _of_key(self, settings: QuerySettings, caller: Caller | None) -> QuerySettings:
        """Return settings within the presets of a key; they are made once."""
        if caller is None or not caller.presets:
            return settings
        index = id(settings), caller.presets
        if index not in self._preset_settings:
            variety = replace(settings.variety, presets=caller.presets, presets_only=True)
            self._preset_settings[index] = replace(settings, variety=variety)
        return self._preset_settings[index]

    def _guard(
        self, site: Site, fields: Fields, caller: Caller | None, digest: str | None, expires: int | None
    ) -> Guard:
        """Return which requests for the same URL would be granted the same."""
        credentials = tuple(map(fields.get, _CREDENTIALS))
        domains, by_host, hosts = self._domains[site.name], self.sites.by_host, bool(self.sites.others)
        named = by_host(fields.get(b"host", b""))
        limited, page = site.rules.domains is not None, _names_page(fields)
        until = expires if caller is None else min(expires or caller.until, caller.until)

        def guard(fields: Fields) -> bool:
            if until is not None and time.time() >= until:
                return False
            if tuple(map(fields.get, _CREDENTIALS)) != credentials:
                return False
            if caller is not None and digest is not None and not self._is(caller, digest):
                return False
            if hosts and by_host(fields.get(b"host", b"")) is not named:
                return False
            if not limited:
                return True
            same = page is _names_page(fields)
            return same and domains(fields.get(b"referer", b""), fields.get(b"origin", b""), fields.get(b"host", b""))

        return guard

    def _is(self, caller: Caller, digest: str) -> bool:
        """Return whether a key still opens the same."""
        if caller is not ADMIN:
            return self.ring.find(digest) == caller
        self._read_replaced()
        return self.digest == digest


def _forbidden(detail: str, caller: Caller) -> Forbidden:
    error = Forbidden(detail)
    error.caller = caller.name
    return error


def _memoized(site: Site) -> Callable[[bytes, bytes, bytes], bool]:
    """Return a function that decides by Referer, Origin and Host; what browsers send is decided once."""
    rules = site.rules.domains
    if rules is None:
        return lambda _referer, _origin, _host: True
    known = lru_cache(4096)(rules.allows)

    def allows(referer: bytes, origin: bytes, host: bytes) -> bool:
        short = len(referer) + len(origin) + len(host) <= _MEMOIZED_LENGTH
        return (known if short else rules.allows)(referer, origin, host)

    return allows


def _names_page(fields: Fields) -> bool:
    return bool(fields.get(b"referer") or fields.get(b"origin"))


def _is_signed(query: bytes) -> bool:
    return any(is_signature(read_pair(part)) for part in query.split(b"&"))


def _key_in(query: bytes) -> str | None:
    """Return the `key` in a query, or None; raise BadRequest if there are different ones."""
    keys = {pair.value for part in query.split(b"&") if (pair := read_pair(part)).name == "key"}
    if len(keys) > 1:
        raise BadRequest("Several API keys came in this URL; one is expected.")
    return next((key.decode("latin-1") for key in keys), None)


def _without_key(query: bytes) -> bytes:
    if b"key" not in unquote_to_bytes(query).lower():
        return query
    return without(query, lambda pair: pair.name == "key")


def _modified(path: Path | None) -> tuple[int, int] | None:
    """Return what identifies a version of the file, or None."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
