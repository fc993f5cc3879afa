"""`Idempotency-Key`: a POST that is repeated with its key gets the first response. Only JSON responses are stored."""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from imgserve.access.keys import Caller
from imgserve.catalog import IdempotencyKeys
from imgserve.errors import BadRequest, CatalogUnavailable, IdempotencyConflict
from imgserve.http.multipart import FormReader, PartEnd, PartHead
from imgserve.web.api.messages import Reply, body_pieces, media_type, response

_logger = logging.getLogger(__name__)

HEADER = "idempotency-key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_STREAMED = ("content-length", "content-digest", "repr-digest")
"""Headers that differ between most streamed bodies, so that a conflict is found before the body is read."""

Work = Callable[[Request], Awaitable[Reply | Response]]


class BodyDigest:
    """Computes a digest of a request's body while an endpoint reads it.

    The boundary of a form is not part of the digest, since clients choose a new one when they repeat a request.
    """

    def __init__(self, request: Request) -> None:
        """Raise BadRequest for a form without a boundary."""
        content_type = request.headers.get("content-type", "")
        self._form = FormReader(content_type) if media_type(request) == "multipart/form-data" else None
        self._whole, self._part = hashlib.sha256(), hashlib.sha256()
        self.size = 0
        self._inner = request.receive
        self.request = Request(request.scope, self._receive)
        """The same request; its body is digested as it is read."""

    @property
    def value(self) -> str:
        """The digest of all that was read so far, with its size."""
        return f"{self.size:x}-{self._whole.hexdigest()}"

    async def matches(self, known: str) -> bool:
        """Read the body and return whether its digest is the known one; a longer body is not read to its end.

        Raises BadRequest if the client has disconnected.
        """
        longest = int(known.partition("-")[0] or "0", 16)
        async for _ in body_pieces(self.request):
            if self.size > longest:
                return False
        return self.value == known

    async def _receive(self) -> Message:
        message = await self._inner()
        if message["type"] == "http.request":
            self._update(message.get("body", b""))
        return message

    def _update(self, data: bytes) -> None:
        if self._form is None:
            self._whole.update(data)
            self.size += len(data)
            return
        for event in self._form.feed(data):
            self.size += 1 + (len(event) if isinstance(event, bytes) else 0)
            if isinstance(event, PartHead):
                self._part = hashlib.sha256(repr(event).encode("utf-8", "surrogatepass") + b"\0")
            elif isinstance(event, PartEnd):
                self._whole.update(self._part.digest())
            else:
                self._part.update(event)


async def once(
    keys: IdempotencyKeys, request: Request, caller: Caller, body: bytes | None, work: Work
) -> Reply | Response:
    """Do a request that has a key, or return the stored response of the first one.

    `body` is the body that was read, or None if the endpoint streams it.

    Raises IdempotencyConflict if the key came with another request.
    """
    sent = request.headers.getlist(HEADER)
    if len(sent) > 1 or not _KEY.fullmatch(sent[0]):
        raise BadRequest("Idempotency-Key: expected one key of 1 to 255 visible ASCII characters.")
    digest = BodyDigest(request) if body is None else None
    key = f"{caller.name} {sent[0]}"
    known = await keys.begin(key, _fingerprint(request, body))
    if known is not None:
        if digest is not None and not await digest.matches(known.body_digest):
            raise IdempotencyConflict("This Idempotency-Key came with another body before.")
        return response(known.status, {**known.headers, "idempotent-replayed": "true"}, known.body)
    reply: Reply | Response | None = None
    try:
        reply = await work(request if digest is None else digest.request)
        return reply
    finally:
        with anyio.CancelScope(shield=True):
            await _settle(keys, key, reply, "" if digest is None else digest.value)


async def _settle(keys: IdempotencyKeys, key: str, reply: Reply | Response | None, body_digest: str) -> None:
    """Store a reply, or free the key; the response is sent in any case, since the work has been done."""
    try:
        if isinstance(reply, Reply):
            await keys.finish(key, reply.status, reply.headers, reply.body, body_digest=body_digest)
        else:
            await keys.abandon(key)
    except CatalogUnavailable as error:
        _logger.warning("an Idempotency-Key stays in use for a while: %s", error.detail)


def _fingerprint(request: Request, body: bytes | None) -> str:
    """Return a digest of method, address and body, or of the headers that describe a body that is not read yet."""
    target: bytes = request.scope["raw_path"] + b"?" + request.scope["query_string"]
    digest = hashlib.sha256(request.method.encode() + b" " + target + b"\n")
    if body is None:
        named = [media_type(request), *(request.headers.get(name, "") for name in _STREAMED)]
        digest.update("\n".join(named).encode("latin-1"))
    else:
        digest.update(body)
    return digest.hexdigest()
