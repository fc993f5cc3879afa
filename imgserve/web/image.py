"""The picture endpoint: `GET /img/{image id}?...`, read from top to bottom."""

import time
from collections.abc import Awaitable, Mapping
from typing import TypeVar

import anyio
from cachetools import LRUCache
from starlette.types import Receive, Scope, Send

from imgserve.errors import ImageNotFound, MethodNotAllowed, OriginalChanged, PreconditionFailed
from imgserve.http.conditional import entity_tag, evaluate, known_tag, match_holds, request_conditions
from imgserve.http.headers import (
    CachePolicy,
    Cors,
    RawHeaders,
    accept_class,
    cache_control,
    cache_status,
    content_disposition,
    file_name_for,
    server_timing,
)
from imgserve.images.fallback import FallbackRenditions
from imgserve.images.locate import CachedStat
from imgserve.images.renditions import FormatDropped, Renditions, Served
from imgserve.images.resolve import Resolver
from imgserve.model import Rendition
from imgserve.web.middleware import KEY, RequestRecord
from imgserve.web.original import PublicOriginals, requests_original
from imgserve.web.respond import (
    HotTable,
    ImageResponse,
    UrlOptions,
    date_of,
    image_path,
    image_response,
    picture_headers,
    send_moved,
    send_picture,
    send_response,
)

_FALLBACK_POLICY = CachePolicy(max_age=5)
"""Most pictures are rendered in less time; until then caches answer repeated requests."""
_EXACT_ONLY = ("range", "if-match", "if-unmodified-since")
"""Conditions of requests for which no fallback is acceptable; nor is one for a download."""


async def send_fallback(send: Send, response: ImageResponse, served: Served, *, timing_headers: bool) -> None:
    """Send a 200 with the fallback and its own entity tag, without Last-Modified, which is the real picture's."""
    rendition, key = served.rendition, served.fallback_key or response.request.key
    name = rendition.media_type.removeprefix("image/")
    note = f"stand-in: {rendition.width}x{rendition.height} {name} until the requested picture is rendered"
    disposition = content_disposition("inline", file_name_for(response.request.original.image_id, key.extension))
    headers = [
        (b"etag", entity_tag(key.tag, rendition.crc32).encode()),
        (b"cache-control", cache_control(_FALLBACK_POLICY).encode()),
        *picture_headers(rendition, disposition, (*response.request.query.notes, note)),
        (b"content-length", b"%d" % len(rendition.data)),
    ]
    if response.vary:
        headers.append((b"vary", ", ".join(response.vary).encode()))
    if timing_headers:
        headers.append((b"cache-status", cache_status("miss", detail="stand-in").encode()))
        headers.append((b"server-timing", server_timing(served.seconds).encode()))
    await send_response(send, 200, headers, rendition.data)


T = TypeVar("T")
_HITS = {tier: (b"cache-status", cache_status(detail=tier).encode()) for tier in ("memory", "disk")}
_METHODS = ("GET", "HEAD", "OPTIONS")
_MAX_RESPONSES = 8192
_MAX_ATTEMPTS = 3
"""How often an original may change during one request before the client receives a 503."""


class ImageEndpoint:
    """Serves renditions below the picture prefix."""

    def __init__(
        self,
        resolver: Resolver,
        renditions: Renditions,
        fallbacks: FallbackRenditions | None,
        cors: Cors,
        hot: HotTable,
        *,
        options: UrlOptions,
        originals: PublicOriginals,
        timing_headers: bool,
    ) -> None:
        self._resolver = resolver
        self._originals = originals
        self._options = options
        self._renditions = renditions
        self._fallbacks = fallbacks
        self._cors = cors
        self._hot = hot
        self._timing_headers = timing_headers
        self._responses: LRUCache[int, ImageResponse] = LRUCache(_MAX_RESPONSES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        record: RequestRecord = scope[KEY]
        record.route = "image"
        origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1") or None
        method = scope["method"]
        if method == "OPTIONS":
            await send_response(send, 204, [(b"allow", ", ".join(_METHODS).encode()), *self._cors.preflight(origin)])
            return
        record.extra_headers += self._cors.headers(origin)
        if method not in _METHODS:
            raise MethodNotAllowed(members={"allow": list(_METHODS)})
        try:
            if requests_original(scope["query_string"]):
                record.outcome = "original"
                await (await self._originals.response(scope))(scope, receive, send)
            else:
                await self._respond(record, scope, receive, send)
        except ImageNotFound:
            path = await self._resolver.moved(image_path(scope, self._options.prefix))
            if path is None:
                raise
            record.outcome = "moved"
            await send_moved(send, scope, path, self._options)

    async def _respond(self, record: RequestRecord, scope: Scope, receive: Receive, send: Send) -> None:
        accept = b", ".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
        response, stats = await self._resolve(scope, accept)
        conditions = request_conditions(scope["headers"])
        match evaluate(conditions, key=response.validators.key, last_modified=response.validators.modified):
            case "not_modified":
                record.outcome = "not_modified"
                await send_response(send, 304, self._not_modified(response, conditions))
                self._remember(scope, accept, response, stats, None)
                return
            case "precondition_failed":
                raise PreconditionFailed
        request = response.request
        served = await self._renditions.cached(request.key, request.original if request.negotiated else None)
        if served is None:
            rendered = await _unless_disconnected(receive, self._make(scope, accept, response, stats, conditions))
            if rendered is None:
                record.outcome = "client_gone"
                return
            response, stats, served = rendered
        record.outcome = served.outcome
        if served.fallback_key is not None:
            await send_fallback(send, response, served, timing_headers=self._timing_headers)
            return
        if not match_holds(conditions, response.validators.etag(served.rendition)):
            raise PreconditionFailed
        headers = response.headers(served.rendition, settled=served.settled) + self._timing(served)
        await send_picture(
            send, served.rendition, headers, conditions, response.validators, head=scope["method"] == "HEAD"
        )
        if served.settled:
            self._remember(scope, accept, response, stats, served.rendition)

    async def _resolve(self, scope: Scope, accept: str) -> tuple[ImageResponse, tuple[CachedStat, ...]]:
        """Return the response to a URL, and the stats of files that it depends on."""
        path = image_path(scope, self._options.prefix)
        request, stats = await self._resolver.resolve(path, scope["query_string"], accept_class(accept))
        # By identity, which is cheap: the resolver returns the same request for the same URL and original.
        response, date = self._responses.get(id(request)), date_of(scope)
        if response is None or response.request is not request or not response.is_dated(date):
            response = self._responses[id(request)] = image_response(request, self._options, date)
        return response, stats

    async def _make(
        self,
        scope: Scope,
        accept: str,
        response: ImageResponse,
        stats: tuple[CachedStat, ...],
        conditions: Mapping[str, str],
    ) -> tuple[ImageResponse, tuple[CachedStat, ...], Served]:
        """Return the rendered picture, with the URL resolved again if its original was replaced meanwhile."""
        exact = response.disposition.startswith("attachment") or not conditions.keys().isdisjoint(_EXACT_ONLY)
        changes = 0
        while changes < _MAX_ATTEMPTS:
            try:
                if self._fallbacks is None:
                    request = response.request
                    served = await self._renditions.make(
                        request.original, request.transform, request.key, negotiated=request.negotiated
                    )
                else:
                    served = await self._fallbacks.make(response.request, may_stand_in=not exact)
            except FormatDropped:
                response, stats = await self._resolve(scope, accept)
            except OriginalChanged:
                changes += 1
                self._resolver.forget(response.request.original.image_id)
                response, stats = await self._resolve(scope, accept)
            else:
                return response, stats, served
        raise OriginalChanged(retry_after=1)

    def _remember(
        self,
        scope: Scope,
        accept: str,
        response: ImageResponse,
        stats: tuple[CachedStat, ...],
        rendition: Rendition | None,
    ) -> None:
        """Add the response to the hot path, unless it changes with time alone."""
        original = response.request.original
        # A file dated in the future counts as settled until that time.
        past = original.modified_ns <= time.time_ns() and response.is_dated(original.modified_ns // 1_000_000_000)
        if past and self._renditions.is_settled(original):
            self._hot.remember(scope, accept, response, stats, rendition)

    def _not_modified(self, response: ImageResponse, conditions: Mapping[str, str]) -> RawHeaders:
        """Return the headers of a 304, with the client's entity tag, or with ours if the rendition is in memory."""
        etag = known_tag(conditions, response.validators.key)
        if etag is None:
            rendition = self._renditions.peek(response.request.key)
            etag = None if rendition is None else response.validators.etag(rendition)
        return response.shared_headers(etag, settled=self._renditions.is_settled(response.request.original))

    def _timing(self, served: Served) -> RawHeaders:
        """Return the headers that report where the picture came from, if they are enabled."""
        if not self._timing_headers:
            return []
        if served.outcome in _HITS:
            return [_HITS[served.outcome]]
        status = cache_status("miss", stored=served.stored, collapsed=served.outcome == "coalesced")
        return [(b"cache-status", status.encode()), (b"server-timing", server_timing(served.seconds).encode())]


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
