"""What kind of upload a request is, and its body as a stream; refuses early what could only be refused later."""

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from imgserve.errors import BadRequest, BodyTooLarge, ImgserveError, UnsupportedContent

FORM = "multipart/form-data"


def media_type(request: Request) -> str:
    """Tell the type of the body, in lower case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_length(request: Request, most: int, kind: type[ImgserveError] = BodyTooLarge) -> None:
    """Refuse a body that says itself that it is too large, before a byte of it was read.

    Raises:
        BodyTooLarge: it is; or an error of another kind.
        UnsupportedContent: it is packed.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise UnsupportedContent("Expected a body without content coding; pictures are packed already.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise kind(f"The body is larger than {most} bytes, which this server takes at most.")


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """Give the body piece by piece.

    Raises:
        BadRequest: the client has left in the middle of it, and reads no answer.
    """
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect as error:
        raise BadRequest("The body did not arrive whole.") from error
