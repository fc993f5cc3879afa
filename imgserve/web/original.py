"""Respond with the untouched bytes of an original: the whole, a part, or none of them."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate

from starlette.responses import Response, StreamingResponse
from starlette.types import Scope, Send

from imgserve.access.access import Grant
from imgserve.errors import BadTransform, OriginalChanged, OriginalsNotServed, PreconditionFailed
from imgserve.http.conditional import (
    content_range,
    evaluate,
    match_holds,
    parse_range,
    range_applies,
    request_conditions,
)
from imgserve.http.headers import CachePolicy, cache_control, content_disposition, file_name_for, tags_of
from imgserve.images.convert import read_original
from imgserve.images.locate import Locator
from imgserve.images.settings import ANYTHING
from imgserve.model import Original
from imgserve.transform.pairs import is_signature, split
from imgserve.web.respond import SAFETY, Delivery, UrlOptions, date_of, tag_headers


class Streamed(StreamingResponse):
    """Sends pieces as they are produced; the generator is closed if the client disconnects."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str], status: int = 200
    ) -> None:
        # The first one is for proxies.
        always = {"x-accel-buffering": "no", "x-content-type-options": "nosniff"}
        super().__init__(pieces, status, media_type=media_type, headers={**always, **headers})
        self._pieces = pieces

    async def stream_response(self, send: Send) -> None:
        """Send all pieces."""
        async with contextlib.aclosing(self._pieces):
            await super().stream_response(send)


async def original_response(
    scope: Scope,
    original: Original,
    read: Callable[[int, int], Awaitable[AsyncGenerator[bytes]]],
    headers: Mapping[str, str],
) -> Response:
    """Return the response to a GET or HEAD of an original, with further headers.

    `read` returns the bytes from the first to the last one, in pieces.

    Raises PreconditionFailed or RangeNotSatisfiable; or OriginalChanged or Unavailable if it cannot be read now.
    """
    conditions, key, size = request_conditions(scope["headers"]), original.file_version, original.size
    modified, etag = max(0, min(original.modified_ns // 1_000_000_000, date_of(scope))), f'"{key}-original"'
    verdict = evaluate(conditions, key=key, last_modified=modified)
    if verdict == "precondition_failed" or not match_holds(conditions, etag):
        raise PreconditionFailed
    known = {"etag": etag, "last-modified": formatdate(modified, usegmt=True), **headers}
    if verdict == "not_modified":
        return Response(None, 304, known)
    status, first, last, head = 200, 0, size - 1, scope["method"] == "HEAD"
    described = {name.decode(): value.decode() for name, value in SAFETY} | {"accept-ranges": "bytes"} | known
    # A Range on HEAD is to be ignored (RFC 9110, 14.2).
    applies = not head and range_applies(conditions.get("if-range"), etag=etag, last_modified=modified)
    if applies and (part := parse_range(conditions.get("range"), size)):
        status, (first, last) = 206, part
        described["content-range"] = content_range(first, last, size)
    described["content-length"] = str(last - first + 1)
    if head:
        return Response(None, 200, described, original.format.media_type)
    return Streamed(await read(first, last), original.format.media_type, described, status)


@dataclass(frozen=True, slots=True)
class PublicOriginals:
    """Serves originals at the URLs of pictures with the only parameter `format=original`, if that is allowed."""

    locator: Locator
    options: UrlOptions
    allowed: bool
    is_settled: Callable[[Original], bool]

    async def response(self, scope: Scope, grant: Grant, delivery: Delivery) -> Response:
        """Return the response to a permitted request.

        Raises OriginalsNotServed, BadTransform if the URL names more than the original, or an error as for a picture.
        """
        limited = grant.settings is not None and (grant.settings.variety != ANYTHING or grant.settings.watermark)
        if not self.allowed or limited:
            raise OriginalsNotServed
        try:
            return await self._response(scope, grant, delivery)
        except OriginalChanged:  # and the outdated stat is forgotten
            return await self._response(scope, grant, delivery)

    async def _response(self, scope: Scope, grant: Grant, delivery: Delivery) -> Response:
        found = await self.locator.find(grant.image_id)
        pairs = [one for one in split(grant.query) if not (is_signature(one) or one.name == "expires")]
        if len(pairs) > 1 or found.preset or found.format:
            raise BadTransform(["format: expected original alone, without other parameters, a preset or an extension"])
        original, names = found.original, self.options.tag_headers
        tags = tag_headers(names, tags_of(original.image_id)) if names else []
        name = file_name_for(original.image_id, original.format.extensions[0])
        policy = delivery.policy if self.is_settled(original) else CachePolicy(0, scope=delivery.policy.scope)
        embedding = "same-site" if delivery.same_site else "cross-origin"
        headers = {
            "content-disposition": content_disposition("inline", name),
            "cache-control": cache_control(policy),
            "cross-origin-resource-policy": embedding,
            **({"vary": ", ".join(delivery.vary)} if delivery.vary else {}),
            **{name.decode(): value.decode() for name, value in tags},
        }

        async def read(first: int, last: int) -> AsyncGenerator[bytes]:
            return await read_original(original, self.locator.forget, first, last)

        return await original_response(scope, original, read, headers)
