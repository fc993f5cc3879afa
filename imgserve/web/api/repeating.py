"""A POST with an `Idempotency-Key` is done once: who sends it again gets the first answer. Only answers of JSON."""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import anyio
from starlette.requests import Request
from starlette.responses import Response

from imgserve.access.keys import Caller
from imgserve.errors import BadRequest, CatalogUnavailable
from imgserve.web.api.reply import Reply, response

_logger = logging.getLogger(__name__)

HEADER = "idempotency-key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_REPLAYED = {"idempotent-replayed": "true"}
_STREAMED = ("content-length", "content-digest", "repr-digest")
"""What tells one streamed body from another before it is read; the boundary of a form is another one each time."""


class Answered(Protocol):
    """What was answered the first time."""

    @property
    def status(self) -> int:
        """Tell the status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Tell the headers beside those of every answer."""
        ...

    @property
    def body(self) -> bytes:
        """Tell the body."""
        ...


class Answers(Protocol):
    """Where first answers are kept, for all processes."""

    async def begin(self, key: str, fingerprint: str) -> Answered | None:
        """Take a key: None, and the caller goes on to `finish` or `abandon`; or the answer that was given.

        Raises:
            IdempotencyConflict: it came with another request, or with one that is still being answered.
        """
        ...

    async def finish(self, key: str, status: int, headers: Mapping[str, str], body: bytes) -> bool:
        """Keep an answer."""
        ...

    async def abandon(self, key: str) -> None:
        """Free a key whose request has failed."""
        ...


async def once(
    answers: Answers,
    request: Request,
    caller: Caller,
    body: bytes | None,
    work: Callable[[], Awaitable[Reply | Response]],
) -> Response:
    """Do a request, or give the answer of the first time; without a key every time is the first.

    `body` is what was read of it, None where the endpoint streams it.
    """
    sent = request.headers.getlist(HEADER)
    if not sent:
        return as_response(await work())
    if len(sent) > 1 or not _KEY.fullmatch(sent[0]):
        raise BadRequest("Idempotency-Key: expected one key of 1 to 255 visible ASCII characters.")
    key = f"{caller.name} {sent[0]}"
    known = await answers.begin(key, _fingerprint(request, body))
    if known is not None:
        return response(known.status, {**known.headers, **_REPLAYED}, known.body)
    return await _first(answers, key, work)


async def _first(answers: Answers, key: str, work: Callable[[], Awaitable[Reply | Response]]) -> Response:
    finished = False
    try:
        reply = await work()
        if isinstance(reply, Reply):
            finished = await _finish(answers, key, reply)
        return as_response(reply)
    finally:
        if not finished:
            with anyio.CancelScope(shield=True):
                await _abandon(answers, key)


async def _finish(answers: Answers, key: str, reply: Reply) -> bool:
    """Keep an answer. It is given in any case: what it tells has been done."""
    with anyio.CancelScope(shield=True):
        try:
            await answers.finish(key, reply.status, reply.headers, reply.body)
        except CatalogUnavailable as error:
            _logger.warning("an answer could not be kept for its Idempotency-Key: %s", error.detail)
    return True


async def _abandon(answers: Answers, key: str) -> None:
    try:
        await answers.abandon(key)
    except CatalogUnavailable as error:
        _logger.warning("an Idempotency-Key stays taken for a while: %s", error.detail)


def as_response(reply: Reply | Response) -> Response:
    """Give what is sent."""
    if isinstance(reply, Reply):
        return response(reply.status, reply.headers, reply.body)
    reply.headers["cache-control"] = "no-store"
    return reply


def _fingerprint(request: Request, body: bytes | None) -> str:
    """Tell requests apart: by method, address and body, or by what the headers say of a body that is not read yet."""
    target: bytes = request.scope["raw_path"] + b"?" + request.scope["query_string"]
    digest = hashlib.sha256(request.method.encode() + b" " + target + b"\n")
    if body is None:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        named = [media_type, *(request.headers.get(name, "") for name in _STREAMED)]
        digest.update("\n".join(named).encode("latin-1"))
    else:
        digest.update(body)
    return digest.hexdigest()
