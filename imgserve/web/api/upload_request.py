"""What kind of upload a request is, and its body as a stream; refuses early what could only be refused later."""

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect, Request

from imgserve.errors import BadRequest, TooLarge, UnsupportedContent

_JSON_BYTES = 1 << 20


def media_type(request: Request) -> str:
    """Tell the type of the body, in lower case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_length(request: Request, most: int) -> None:
    """Refuse a body that says itself that it is too large, before a byte of it was read.

    Raises:
        TooLarge: it is.
        UnsupportedContent: it is packed.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise UnsupportedContent("expected a body without content coding; pictures are packed already")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise TooLarge(f"The body is larger than {most} bytes, which this server takes at most.")


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """Give the body piece by piece.

    Raises:
        BadRequest: the client has left in the middle of it, and reads no answer.
    """
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect as error:
        raise BadRequest("The body ended before it was complete.") from error


async def json_of(request: Request) -> Any:
    """Read a body of JSON.

    Raises:
        BadRequest: it is none.
        TooLarge: it is more than anybody would say of pictures.
    """
    check_length(request, _JSON_BYTES)
    body = bytearray()
    async for piece in body_of(request):
        body += piece
        if len(body) > _JSON_BYTES:
            raise TooLarge(f"The body is larger than {_JSON_BYTES} bytes, which is all that JSON may have here.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("expected a body of valid JSON") from error
