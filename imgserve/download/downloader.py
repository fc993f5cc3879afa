"""Download one file from one URL within limits."""

import contextlib
import ssl
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import anyio
import httpcore2
import httpx2

from imgserve.download.networks import GuardedBackend, Networks, Resolve, file_name, port_of, read_address, resolve
from imgserve.errors import FetchFailed, FetchTooSlow, TooLarge
from imgserve.http.headers import retry_after_seconds

Write = Callable[[bytes], Awaitable[None]]
_PIECE = 64 * 1024
"""Maximum decompressed bytes at once: a few compressed bytes may expand to gigabytes."""
_INTERVAL = 5.0
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


async def unpacked(pieces: AsyncIterator[bytes], coding: str) -> AsyncGenerator[bytes]:
    """Yield decompressed pieces of limited size. No coding is requested, but servers may use one.

    Raises FetchFailed for an unknown coding, and for bytes that are damaged or incomplete.
    """
    if coding in {"", "identity"}:
        async for piece in pieces:
            yield piece
        return
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise FetchFailed("The server responded in a content coding that was not requested.")
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    async for piece in pieces:
        packed = piece
        while packed:
            try:
                inflated = unpacker.decompress(packed, _PIECE)
            except zlib.error as error:
                raise _transient("The response is incomplete or damaged.") from error
            yield inflated
            packed = unpacker.unconsumed_tail
    if not unpacker.eof or unpacker.unused_data:
        raise _transient("The response is incomplete or damaged.")


def _transient(detail: str) -> FetchFailed:
    """Return the error of an attempt that another one may follow."""
    error = FetchFailed(detail)
    error.again = True
    return error


_OK = 200
_NOT_MODIFIED = 304
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_REDIRECTS = {301, 302, 303, 307, 308}
_AGENT = (b"user-agent", b"imgserve")
_REQUEST_HEADERS = ((b"accept", b"image/*,*/*;q=0.1"), (b"accept-encoding", b"identity"), _AGENT)
"""The only headers sent: no cookies, no credentials, nothing of the client's own request."""


@dataclass(frozen=True, slots=True)
class FetchRules:
    """Limits of downloads."""

    max_bytes: int
    """Of the picture, decompressed."""
    seconds: float = 60.0
    """From the first name lookup to the last byte."""
    idle_seconds: float = 15.0
    """Longest pause of a server."""
    least_rate: int = 0
    """Bytes per second that a server has to send in each interval of five seconds; 0 for any."""
    ports: frozenset[int] = frozenset({80, 443})
    networks: tuple[str, ...] = ()
    """Allowed in addition to the public Internet."""
    redirects: int = 5
    connections: int = 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """A response with a file."""

    name: str
    """From Content-Disposition or the URL; unchecked, possibly empty."""
    etag: str = ""
    unchanged: bool = False
    """Whether the file has the entity tag of the request, and was not sent."""


class Downloader:
    """Downloads pictures from the public Internet only."""

    def __init__(
        self, rules: FetchRules, *, resolve: Resolve = resolve, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        """Create a downloader.

        Proxies of the environment are ignored, because they could connect to any address. `resolve` returns the
        addresses of a host; `ssl_context` has the trusted certificates.
        """
        self._rules = rules
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=rules.connections,
            keepalive_expiry=5.0,
            network_backend=GuardedBackend(Networks(rules.networks), resolve),
        )

    async def fetch(self, url: str, write: Write) -> str:
        """Download a file, pass its bytes to `write`, and return its name; on an error some may have been written.

        `write` decides whether it is a picture. Raises as `fetch_changed` does.
        """
        return (await self.fetch_changed(url, write)).name

    async def fetch_changed(self, url: str, write: Write, etag: str = "") -> Fetched:
        """Download a file likewise unless it has an entity tag.

        Raises:
            AddressRefused: the URL, or one that it redirects to, may not be fetched.
            FetchFailed: the server did not send a whole file in time, or too slowly.
            TooLarge: there are too many bytes.
        """
        seconds = self._rules.seconds
        with anyio.move_on_after(seconds):
            return await self._fetch(url, write, etag)
        raise _transient(f"The server did not send the whole picture within {seconds:g} seconds.")

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send a body to a URL, and return the status of the response; redirects are not followed.

        Raises AddressRefused or FetchFailed as `fetch_changed` does.
        """
        with anyio.move_on_after(self._rules.seconds):
            address = read_address(url, self._rules.ports)
            sent = [(name.encode(), value.encode()) for name, value in headers.items()]
            async with self._answer(address, "POST", [*sent, _AGENT], body) as answer:
                return answer.status
        raise _transient(f"The server did not respond within {self._rules.seconds:g} seconds.")

    async def close(self) -> None:
        """Close idle connections."""
        await self._pool.aclose()

    async def _fetch(self, text: str, write: Write, etag: str) -> Fetched:
        asked = url = read_address(text, self._rules.ports)
        sent = [*_REQUEST_HEADERS, *([(b"if-none-match", etag.encode())] if etag else [])]
        for _ in range(self._rules.redirects + 1):
            async with self._answer(url, "GET", sent) as answer:
                # Of repeated fields the last counts.
                headers = {
                    name.decode("latin-1").lower(): value.decode("utf-8", "replace") for name, value in answer.headers
                }
                if answer.status == _NOT_MODIFIED and etag:
                    return Fetched("", etag, unchanged=True)
                if answer.status not in _REDIRECTS:
                    await self._read(answer, headers, write)
                    name = file_name(asked, headers.get("content-disposition", ""))
                    return Fetched(name, headers.get("etag", ""))
            url = read_address(headers.get("location", ""), self._rules.ports, base=url)
        raise FetchFailed(f"The URL redirects more than {self._rules.redirects} times.")

    async def _read(self, answer: httpcore2.Response, headers: Mapping[str, str], write: Write) -> None:
        if answer.status != _OK:
            error = FetchFailed(f"The server responded with status {answer.status}.")
            error.upstream, error.again = answer.status, answer.status in _TRANSIENT
            error.wait = float(retry_after_seconds(headers.get("retry-after", "")) or 0)
            raise error
        too_large = TooLarge(f"The picture at this address is larger than {self._rules.max_bytes} bytes.")
        coding = headers.get("content-encoding", "").strip().lower()
        length = headers.get("content-length", "")
        if coding in {"", "identity"} and length.isdecimal() and int(length) > self._rules.max_bytes:
            raise too_large
        size = 0
        async with contextlib.aclosing(unpacked(_pieces(answer, self._rules.least_rate), coding)) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > self._rules.max_bytes:
                    raise too_large
                await write(piece)

    @contextlib.asynccontextmanager
    async def _answer(
        self, url: httpx2.URL, method: str, headers: Iterable[tuple[bytes, bytes]], body: bytes | None = None
    ) -> AsyncIterator[httpcore2.Response]:
        """Yield the response of a URL; network errors become FetchFailed."""
        idle = self._rules.idle_seconds
        address = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=port_of(url), target=url.raw_path)
        sent = [(b"host", url.netloc), *headers]
        try:
            async with contextlib.AsyncExitStack() as stack:
                while True:
                    connected = _Connected()
                    extensions = {"timeout": {"read": idle, "write": idle}, "trace": connected}
                    answer = self._pool.stream(method, address, headers=sent, content=body, extensions=extensions)
                    try:
                        yielded = await stack.enter_async_context(answer)
                    except (httpcore2.ReadError, httpcore2.WriteError, httpcore2.RemoteProtocolError):
                        if connected.anew:
                            raise
                    else:
                        break
                yield yielded
        except httpcore2.TimeoutException as error:
            raise _transient("The server did not respond in time.") from error
        except httpcore2.ConnectError as error:
            raise _transient("The server could not be connected to.") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise _transient("The response is incomplete or damaged.") from error


class _Connected:
    """Notes, as a trace of httpcore, whether a request has a connection of its own.

    Only a connection that was used before may be closed by the server just when a request is sent, and then the
    request is sent again (RFC 9112, 9.3.1).
    """

    anew = False

    async def __call__(self, event: str, _info: Mapping[str, object]) -> None:
        """Note an event."""
        self.anew |= event == "connection.connect_tcp.started"


async def _pieces(answer: httpcore2.Response, least_rate: int) -> AsyncGenerator[bytes]:
    """Yield the pieces of a response, as long as there are enough bytes in each interval."""
    stream = answer.stream
    if not isinstance(stream, AsyncIterable):
        raise TypeError("a response of the asynchronous pool is not asynchronous")
    since, size = time.monotonic(), 0
    async for piece in stream:
        size += len(piece)
        seconds = time.monotonic() - since
        if seconds >= _INTERVAL:
            if size < least_rate * seconds:
                raise FetchTooSlow(f"The server of the picture sends fewer than {least_rate} bytes per second.")
            since, size = time.monotonic(), 0
        yield piece
