"""The body of a request: was it read, and how a client that is still sending is refused so that it hears why."""

import anyio
from starlette.types import Message, Receive, Scope, Send

from imgserve.web.problem import Headers

_LITTLE = 65_536
"""Bytes that are not worth a connection: they are read away, and the next request follows."""
_LINGER = 5.0
"""Seconds in which a client that is still sending may notice the answer; closing at once would reset the connection,
and the answer would be lost on its way."""
_SILENCE = 1.0


class RequestBody:
    """Passes a body on, and knows how much of it is still to come."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        """Take the request."""
        self._receive = receive
        self._over = False
        self._read = 0
        length = dict(scope["headers"]).get(b"content-length", b"")
        self._length = int(length) if length.isdigit() else None

    async def receive(self) -> Message:
        """Give the next piece."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._over = not message.get("more_body", False)
        else:
            self._over = True
        return message

    @property
    def much_unread(self) -> bool:
        """Tell whether so much is to come, or may come, that the connection is rather closed."""
        return not self._over and (self._length is None or self._length - self._read > _LITTLE)

    async def refuse(self, status: int, headers: Headers, body: bytes, send: Send) -> None:
        """Answer a client that is still sending, let it notice, and close the connection."""
        headers = [*headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        with anyio.move_on_after(_LINGER):
            silent = False
            while not (self._over or silent):
                with anyio.move_on_after(_SILENCE) as waiting:
                    await self.receive()
                silent = waiting.cancelled_caught
        await send({"type": "http.response.body", "body": b""})


def may_have_body(scope: Scope) -> bool:
    """Tell whether a body can come, at little cost for the many requests that are none."""
    return scope["method"] not in {"GET", "HEAD", "OPTIONS"}
