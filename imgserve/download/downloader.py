"""Download one picture from one URL within limits."""

import contextlib
import ssl
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

import anyio
import httpcore2
import httpx2

from imgserve.download.guard import GuardedBackend, Resolve, resolve
from imgserve.download.networks import Networks, file_name, port_of, read_address
from imgserve.errors import FetchFailed, TooLarge, UnsupportedImage
from imgserve.formats import HEAD_BYTES, Format, sniff

Write = Callable[[bytes], Awaitable[None]]
_PIECE = 64 * 1024
"""Of unpacked bytes: a few packed ones may hold gigabytes."""
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class Picture:
    """Takes the bytes of a picture: the first ones must look like one, and there is an end to it."""

    def __init__(self, write: Write, max_bytes: int) -> None:
        """Take where the bytes go, and how many there may be."""
        self._write = write
        self._max_bytes = max_bytes
        self._head = b""
        self.format: Format | None = None
        self.size = 0

    async def take(self, data: bytes) -> None:
        """Take a piece; TooLarge or UnsupportedImage as soon as it is known."""
        self.size += len(data)
        if self.size > self._max_bytes:
            raise TooLarge(f"The picture at this address is larger than {self._max_bytes} bytes.")
        if self.format is not None:
            await self._write(data)
            return
        self._head += data
        if len(self._head) >= HEAD_BYTES:
            await self._begin()

    async def end(self) -> Format:
        """Write what is left, and tell the format."""
        return self.format or await self._begin()

    async def _begin(self) -> Format:
        found = sniff(self._head[:HEAD_BYTES])
        if found is None or not found.readable:
            raise UnsupportedImage("What this address gives is not a picture in a format that this server reads.")
        self.format = found
        head, self._head = self._head, b""
        await self._write(head)
        return found


async def unpacked(pieces: AsyncIterator[bytes], coding: str) -> AsyncGenerator[bytes]:
    """Undo a content coding, which was not asked for but may come, in pieces of bounded size.

    Raises:
        FetchFailed: the coding is unknown, or the packed bytes are damaged or cut short.
    """
    if coding in {"", "identity"}:
        async for piece in pieces:
            yield piece
        return
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise FetchFailed("This address answered in a content coding that was not asked for.")
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    async for piece in pieces:
        for inflated in _inflated(unpacker, piece):
            yield inflated
    if not unpacker.eof or unpacker.unused_data:
        raise FetchFailed("The answer of this address is cut short or damaged.")


def _inflated(unpacker: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    try:
        while packed:
            yield unpacker.decompress(packed, _PIECE)
            packed = unpacker.unconsumed_tail
    except zlib.error as error:
        raise FetchFailed("The answer of this address is cut short or damaged.") from error


_OK = 200
_REDIRECTS = {301, 302, 303, 307, 308}
_ASKED = ((b"accept", b"image/*,*/*;q=0.1"), (b"accept-encoding", b"identity"), (b"user-agent", b"imgserve"))
"""All that is ever sent: no cookies, no credentials, nothing of the client's own request."""


@dataclass(frozen=True, slots=True)
class FetchRules:
    """What may be fetched, and what it may cost."""

    max_bytes: int
    """Of the picture, unpacked."""
    seconds: float = 60.0
    """From the first look-up of a name to the last byte."""
    idle_seconds: float = 15.0
    """Longest pause of a server."""
    ports: frozenset[int] = frozenset({80, 443})
    networks: tuple[str, ...] = ()
    """Allowed beside the public Internet."""
    redirects: int = 5
    connections: int = 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched."""

    url: str
    """Where it came from, after redirects."""
    media_type: str
    """By its bytes, whatever the server said."""
    size: int
    file_name: str
    """As the server calls it, or its address; unchecked, and maybe empty."""


class Downloader:
    """Fetches pictures from the public Internet, and from nowhere inside."""

    def __init__(
        self, rules: FetchRules, *, resolve: Resolve = resolve, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        """Take the rules; `resolve` turns names into addresses, the context says whose certificates are believed.

        Proxies named by the environment are not asked: they would connect to whatever they like.
        """
        self._rules = rules
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=rules.connections,
            keepalive_expiry=5.0,
            network_backend=GuardedBackend(Networks(rules.networks), resolve),
        )

    async def fetch(self, url: str, write: Write) -> Fetched:
        """Fetch a picture and give its bytes to `write`, piece by piece; on an error some may have been written.

        Raises:
            AddressRefused: the address, or one that it redirects to, is not fetched from.
            FetchFailed: it did not answer with a whole file in time.
            TooLarge: there are too many bytes.
            UnsupportedImage: it is not a picture.
        """
        seconds = self._rules.seconds
        with anyio.move_on_after(seconds):
            return await self._fetch(url, write)
        raise FetchFailed(f"This address did not give all of its picture within {seconds:g} seconds.")

    async def close(self) -> None:
        """Close idle connections."""
        await self._pool.aclose()

    async def _fetch(self, text: str, write: Write) -> Fetched:
        asked = url = read_address(text, self._rules.ports)
        for _ in range(self._rules.redirects + 1):
            async with self._answer(url) as answer:
                headers = _headers(answer)
                if answer.status not in _REDIRECTS:
                    picture = Picture(write, self._rules.max_bytes)
                    await self._read(answer, headers, picture)
                    found = await picture.end()
                    name = file_name(asked, headers.get("content-disposition", ""))
                    return Fetched(str(url), found.media_type, picture.size, name)
            url = read_address(headers.get("location", ""), self._rules.ports, base=url)
        raise FetchFailed(f"This address redirects more than {self._rules.redirects} times.")

    async def _read(self, answer: httpcore2.Response, headers: Mapping[str, str], picture: Picture) -> None:
        if answer.status != _OK:
            raise FetchFailed(f"This address answered with status {answer.status}.")
        coding = headers.get("content-encoding", "").strip().lower()
        length = headers.get("content-length", "")
        if coding in {"", "identity"} and length.isdecimal() and int(length) > self._rules.max_bytes:
            raise TooLarge(f"The picture at this address is larger than {self._rules.max_bytes} bytes.")
        async with contextlib.aclosing(unpacked(_pieces(answer), coding)) as pieces:
            async for piece in pieces:
                await picture.take(piece)

    @contextlib.asynccontextmanager
    async def _answer(self, url: httpx2.URL) -> AsyncIterator[httpcore2.Response]:
        """Ask an address; what goes wrong on the way, before and after the head, becomes FetchFailed."""
        idle = self._rules.idle_seconds
        address = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=port_of(url), target=url.raw_path)
        timeouts = {"read": idle, "write": idle}
        try:
            async with self._pool.stream(
                "GET", address, headers=[(b"host", url.netloc), *_ASKED], extensions={"timeout": timeouts}
            ) as answer:
                yield answer
        except httpcore2.TimeoutException as error:
            raise FetchFailed("This address did not answer in time.") from error
        except httpcore2.ConnectError as error:
            raise FetchFailed("This address could not be connected to.") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise FetchFailed("The answer of this address is cut short or damaged.") from error


async def _pieces(answer: httpcore2.Response) -> AsyncGenerator[bytes]:
    stream = answer.stream
    if not isinstance(stream, AsyncIterable):
        raise TypeError("an answer of the asynchronous pool that is not asynchronous")
    async for piece in stream:
        yield piece


def _headers(answer: httpcore2.Response) -> dict[str, str]:
    """Read the fields of an answer; of repeated ones the last counts."""
    return {name.decode("latin-1").lower(): value.decode("utf-8", "replace") for name, value in answer.headers}
