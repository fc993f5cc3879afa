"""A remote web server on 127.0.0.1 that answers each path with the bytes a test wrote, well-behaved or not."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Behavior = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Remote:
    """A running server, and what it was asked."""

    port: int
    answers: dict[str, bytes | Behavior] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task of its own."""
        self.tasks.add(asyncio.get_running_loop().create_task(self.serve(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            try:
                while await self.answer(reader, writer):
                    pass
                writer.close()
                await writer.wait_closed()
            finally:
                writer.transport.abort()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request, and tell whether the connection stays open."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        answer = self.answers.get(head.split(b" ")[1].decode(), b"HTTP/1.1 404 Not Found\r\n\r\n")
        if not isinstance(answer, bytes):
            await answer(writer)
            return False
        writer.write(answer)
        await writer.drain()
        return b"keep-alive" in answer.partition(b"\r\n\r\n")[0]


@contextlib.asynccontextmanager
async def remote(ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[Remote]:
    """Serve until the block ends."""
    served = Remote(0)
    server = await asyncio.start_server(served.accept, "127.0.0.1", 0, ssl=ssl_context)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in served.tasks:
            task.cancel()
        await asyncio.gather(*served.tasks, return_exceptions=True)


def ok(body: bytes, *fields: str, length: int | None = None) -> bytes:
    """Write an answer of status 200."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body) if length is None else length}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def redirect(location: str, status: int = 302) -> bytes:
    """Write a redirect."""
    return f"HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
