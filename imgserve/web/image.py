"""The picture endpoint: `GET /img/{image id}?...`, read from top to bottom."""

import time
from collections.abc import Awaitable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import TypeVar

import anyio
from cachetools import LRUCache
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from imgserve.access.access import Access, Fields, Grant, Guard, ImageRequest
from imgserve.errors import ImageNotFound, ImgserveError, MethodNotAllowed, OriginalChanged, PreconditionFailed
from imgserve.formats import BY_MEDIA_TYPE
from imgserve.http.conditional import entity_tag, evaluate, known_tag, match_holds, request_conditions, tag_crc32
from imgserve.http.headers import (
    CachePolicy,
    Cors,
    RawHeaders,
    accept_class,
    api_key,
    cache_control,
    cache_status,
    content_disposition,
    file_name_for,
    server_timing,
)
from imgserve.images.demand import DemandEncoder
from imgserve.images.fallback import FallbackRenditions
from imgserve.images.locate import CachedStat
from imgserve.images.renditions import FormatDropped, Renditions, Served
from imgserve.images.resolve import Resolver
from imgserve.model import Rendition
from imgserve.transform.hints import HINTS, read_hints
from imgserve.transform.pairs import split
from imgserve.web.error_pictures import ErrorPictures
from imgserve.web.facts import DocumentRequest, MakeDocument, document_response
from imgserve.web.hot_table import HotTable, Place
from imgserve.web.middleware import KEY, RequestRecord
from imgserve.web.original import PublicOriginals
from imgserve.web.placeholder import placeholder
from imgserve.web.published import PublishedPictures
from imgserve.web.respond import (
    Delivery,
    ImageResponse,
    UrlOptions,
    date_of,
    image_path,
    image_response,
    picture_headers,
    send_moved,
    send_picture,
    send_response,
    timing_headers,
)

_EXACT_ONLY = ("range", "if-match", "if-unmodified-since")
"""Conditions of requests for which no fallback is acceptable; nor is one for a download."""


async def send_fallback(send: Send, response: ImageResponse, served: Served, *, timing_headers: bool) -> None:
    """Send a 200 with the fallback and its own entity tag, without Last-Modified, which is the real picture's."""
    rendition, key = served.rendition, served.fallback_key or response.request.key
    name = rendition.media_type.removeprefix("image/")
    note = f"stand-in: {rendition.width}x{rendition.height} {name} until the requested picture is rendered"
    extension = BY_MEDIA_TYPE[rendition.media_type].extensions[0]
    disposition = content_disposition("inline", file_name_for(response.request.original.image_id, extension))
    headers = [
        (b"etag", entity_tag(key.tag, rendition.crc32).encode()),
        (b"cache-control", cache_control(response.delivery.soon(served.lasts)).encode()),
        *picture_headers(
            rendition, disposition, (*response.request.query.notes, note), same_site=response.delivery.same_site
        ),
        *response.tags,
        *response.ignored,
        (b"content-length", b"%d" % len(rendition.data)),
    ]
    if response.vary:
        headers.append((b"vary", ", ".join(response.vary).encode()))
    if timing_headers:
        headers.append((b"cache-status", cache_status("miss", detail="stand-in").encode()))
        headers.append((b"server-timing", server_timing(served.seconds).encode()))
    await send_response(send, 200, headers, rendition.data)


T = TypeVar("T")
_FORMAT_NAMES, _ORIGINAL = ("format", "fm"), b"original"
_METHODS = ("GET", "HEAD", "OPTIONS")
_MAX_RESPONSES = 8192
_MAX_ATTEMPTS = 3
"""How often an original may change during one request before the client receives a 503."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A request, with what it may see."""

    scope: Scope
    accept: str
    grant: Grant
    cors: Cors
    delivery: Delivery

    def guard(self, hints: frozenset[str]) -> Guard | None:
        """Return which later requests for the same URL may receive the same response; None for all.

        `hints` are the client hints on which the response depends.
        """
        inner, uniform, expires = self.grant.guard, self.cors.uniform, self.grant.expires
        # Before the end of a permission, the time for which caches may store the response becomes shorter.
        until = None if expires is None else expires - self.delivery.policy.lifetime
        if inner is None and uniform and not hints:
            return None
        names = [name for hint in hints for name in HINTS[hint]]
        known = [dict(self.scope["headers"]).get(name) for name in names]

        def admits(fields: Fields) -> bool:
            whole = until is None or time.time() < until
            return (
                whole
                and [fields.get(name) for name in names] == known
                and (uniform or b"origin" not in fields)
                and (inner is None or inner(fields))
            )

        return admits


def _delivery(grant: Grant, policy: CachePolicy, date: int) -> Delivery:
    """Return how the response to a permitted request may be stored, by a policy for public ones."""
    if grant.hotlinked:
        policy = CachePolicy(0, scope="no-store")
    elif grant.private:
        policy = replace(policy, scope="private")
    if grant.expires is not None:
        policy = policy.within(max(0, grant.expires - date))
    return Delivery(policy, ("Origin", "Referer") if grant.domains else (), grant.same_site)


@dataclass(slots=True, eq=False)
class ImageEndpoint:
    """Serves renditions below the picture prefix."""

    access: Access
    resolver: Resolver
    renditions: Renditions
    fallbacks: FallbackRenditions
    hot: HotTable
    _: KW_ONLY
    published: PublishedPictures | None
    cors: Mapping[str, Cors]
    """The origins of each site, by its name."""
    options: UrlOptions
    originals: PublicOriginals
    errors: ErrorPictures
    documents: Mapping[str, MakeDocument]
    """Those of each format."""
    demand: DemandEncoder | None
    timing_headers: bool
    _responses: LRUCache[tuple[int, Delivery], ImageResponse] = field(
        default_factory=lambda: LRUCache(_MAX_RESPONSES), init=False
    )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; an error may have a picture."""
        record: RequestRecord = scope[KEY]
        try:
            await self._handle(record, scope, receive, send)
        except ImgserveError as error:
            if not record.status:
                record.error_picture = await self.errors.find(scope, error)
            raise

    async def _handle(self, record: RequestRecord, scope: Scope, receive: Receive, send: Send) -> None:
        record.route = "image"
        fields = dict(scope["headers"])
        origin = fields.get(b"origin", b"").decode("latin-1") or None
        cors = self._cors_of(scope, fields)
        method = scope["method"]
        if method == "OPTIONS":
            await send_response(send, 204, [(b"allow", ", ".join(_METHODS).encode()), *cors.preflight(origin)])
            return
        record.extra_headers += cors.headers(origin)
        if method not in _METHODS:
            raise MethodNotAllowed(members={"allow": list(_METHODS)})
        call = await self._admit(scope, fields, cors, record)
        if (most := self.options.placeholders) and (
            made := placeholder(image_path(scope, self.options.prefix), call.grant.query, scope, call.delivery, most)
        ):
            record.outcome = "placeholder"
            await made(scope, receive, send)
            return
        try:
            if _requests_original(call.grant.query):
                record.outcome = "original"
                original = await self.originals.response(scope, call.grant, call.delivery)
                await original(scope, receive, send)
            else:
                await self._respond(record, call, receive, send)
        except ImageNotFound:
            moved = await self.resolver.moved(call.grant.image_id)
            if moved is None or not self.access.extends(call.grant, moved):
                raise
            path = self.access.sites.path(fields.get(b"host", b""), moved)
            if path is None:
                raise
            record.outcome = "moved"
            await send_moved(send, scope, path, self.options, call.delivery)

    async def _respond(self, record: RequestRecord, call: "_Call", receive: Receive, send: Send) -> None:
        scope = call.scope
        response, stats = await self._resolve(call)
        if name := response.request.query.document:
            record.outcome = "document"
            await (await self._document(call, name))(scope, receive, send)
            return
        conditions = request_conditions(scope["headers"])
        match evaluate(conditions, key=response.validators.key, last_modified=response.validators.modified):
            case "not_modified" if not self._has_replaced(response, conditions):
                record.outcome = "not_modified"
                await send_response(send, 304, self._not_modified(response, conditions))
                self._remember(call, response, stats, None)
                return
            case "precondition_failed":
                raise PreconditionFailed
        request = response.request
        served = await self.renditions.cached(request.key, request.original if request.negotiated else None)
        if served is None:
            client = scope.get("client")
            await self.access.count_new(call.grant, client[0] if client else "")
            rendered = await _unless_disconnected(receive, self._make(call, response, stats, conditions))
            if rendered is None:
                record.outcome = "client_gone"
                return
            response, stats, served = rendered
            request = response.request
        record.outcome = served.outcome
        if served.fallback_key is not None:
            await send_fallback(send, response, served, timing_headers=self.timing_headers)
            return
        if not match_holds(conditions, response.validators.etag(served.rendition)):
            raise PreconditionFailed
        record.picture = (request.key.extension, request.original.size)
        headers = response.headers(served.rendition, settled=served.settled)
        headers += timing_headers(served) if self.timing_headers else []
        await send_picture(
            send, served.rendition, headers, conditions, response.validators, head=scope["method"] == "HEAD"
        )
        if served.settled:
            self._remember(call, response, stats, served.rendition)

    def _has_replaced(self, response: ImageResponse, conditions: Mapping[str, str]) -> bool:
        """Return whether the bytes that a client has were replaced by others of the same picture."""
        key = response.validators.key
        crc32 = tag_crc32(known_tag(conditions, key) or "")
        return self.demand is not None and crc32 is not None and self.demand.is_outdated(key, crc32)

    async def _document(self, call: "_Call", name: str) -> Response:
        """Return the response with a document about a picture, from the newest version of its original."""
        for _ in range(_MAX_ATTEMPTS):
            response, _ = await self._resolve(call)
            original = response.request.original
            requested = DocumentRequest(call.scope, call.grant, response.request)
            try:
                return await document_response(
                    self.documents[name], requested, response, settled=self.renditions.is_settled(original)
                )
            except OriginalChanged:
                self.resolver.forget(original.image_id)
        raise OriginalChanged(retry_after=1)

    def _cors_of(self, scope: Scope, fields: Fields) -> Cors:
        """Return the origins of the site of a request."""
        if len(self.cors) == 1:
            return self.cors[""]
        site, _ = self.access.sites.find(fields.get(b"host", b""), image_path(scope, self.options.prefix))
        return self.cors[site.name]

    async def _admit(self, scope: Scope, fields: Fields, cors: Cors, record: RequestRecord) -> "_Call":
        """Return the request with what it may see."""
        accept = b", ".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
        path, query = image_path(scope, self.options.prefix), scope["query_string"]
        record.image_id = path
        if self.access.sites.open:
            return _Call(scope, accept, Grant(path, query), cors, Delivery(self.options.policy))
        key = api_key(scope["headers"])
        grant = await self.access.check_image(ImageRequest(fields, path, scope["raw_path"], query, key))
        delivery = _delivery(grant, self.options.policy, date_of(scope))
        record.site, record.image_id = grant.site, grant.image_id
        record.caller = "" if grant.caller is None else grant.caller.name
        record.private = delivery.policy.scope != "public" or grant.domains
        return _Call(scope, accept, grant, cors, delivery)

    async def _resolve(self, call: "_Call") -> tuple[ImageResponse, tuple[CachedStat, ...]]:
        """Return the response to a URL, and the stats of files that it depends on."""
        grant = call.grant
        used = self.options.hints
        hints = read_hints(dict(call.scope["headers"]), used) if used else None
        request, stats = await self.resolver.resolve(
            grant.image_id, grant.query, accept_class(call.accept), grant.settings, hints
        )
        image_id = request.original.image_id
        if image_id != grant.image_id and not self.access.extends(grant, image_id):
            raise ImageNotFound
        request.check_marks(partial(self.access.may_mark, grant))
        # By identity, which is cheap: the resolver returns the same request for the same URL and original.
        index, date = (id(request), call.delivery), date_of(call.scope)
        response = self._responses.get(index)
        if response is None or response.request is not request or not response.is_dated(date):
            response = self._responses[index] = image_response(request, self.options, date, call.delivery)
        return response, stats

    async def _make(
        self, call: "_Call", response: ImageResponse, stats: tuple[CachedStat, ...], conditions: Mapping[str, str]
    ) -> tuple[ImageResponse, tuple[CachedStat, ...], Served]:
        """Return the rendered picture, with the URL resolved again if its original was replaced meanwhile."""
        exact = response.disposition.startswith("attachment") or not conditions.keys().isdisjoint(_EXACT_ONLY)
        changes = 0
        while changes < _MAX_ATTEMPTS:
            try:
                served = await self.fallbacks.make(response.request, may_stand_in=not exact)
            except FormatDropped:
                response, stats = await self._resolve(call)
            except OriginalChanged as error:
                changes += 1
                self.resolver.forget(error.changed or response.request.original.image_id)
                response, stats = await self._resolve(call)
            else:
                return response, stats, served
        raise OriginalChanged(retry_after=1)

    def _remember(
        self, call: "_Call", response: ImageResponse, stats: tuple[CachedStat, ...], rendition: Rendition | None
    ) -> None:
        """Add the response to the hot path, unless it changes with time alone."""
        original = response.request.original
        # A file dated in the future counts as settled until that time.
        lasting = (
            call.delivery.policy.scope != "no-store" and call.delivery.policy.lifetime == self.options.policy.lifetime
        )
        past = (
            lasting
            and original.changed_ns <= time.time_ns()
            and response.is_dated(original.changed_ns // 1_000_000_000)
        )
        current = response.request.epoch == self.resolver.epoch
        if past and current and self.renditions.is_settled(original):
            place = Place(
                call.scope,
                call.accept,
                call.grant.site,
                call.cors.headers(None),
                call.guard(response.request.query.hints),
            )
            self.hot.remember(place, response, stats, rendition)
            if rendition is not None and self.published is not None:
                self.published.offer(place, call.grant, response, rendition)

    def _not_modified(self, response: ImageResponse, conditions: Mapping[str, str]) -> RawHeaders:
        """Return the headers of a 304, with the client's entity tag, or with ours if the rendition is in memory."""
        etag = known_tag(conditions, response.validators.key)
        if etag is None:
            rendition = self.renditions.peek(response.request.key)
            etag = None if rendition is None else response.validators.etag(rendition)
        return response.shared_headers(etag, settled=self.renditions.is_settled(response.request.original))


def _requests_original(query: bytes) -> bool:
    """Return whether a query names the original as its format."""
    return _ORIGINAL in query and any(one.name in _FORMAT_NAMES and one.value == _ORIGINAL for one in split(query))


async def _unless_disconnected(receive: Receive, work: Awaitable[T]) -> T | None:
    """Return the result of work, or None if the client disconnects, which frees its slot in the queue."""
    results: list[T] = []
    errors: list[Exception] = []

    async def watch(scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch, group.cancel_scope)
        try:
            results.append(await work)
        except Exception as error:  # noqa: BLE001  raised again outside, where no group wraps it
            errors.append(error)
        group.cancel_scope.cancel()
    if errors:
        raise errors[0]
    return results[0] if results else None
