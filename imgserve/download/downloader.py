"""One picture fetched from one address: redirects, limits, the deadline. Where it goes is the caller's business."""

import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass

import anyio
import httpcore2
import httpx2

from imgserve.download.address import file_name, port_of, read_address
from imgserve.download.body import Picture, Write, unpacked
from imgserve.download.guard import GuardedBackend
from imgserve.download.networks import Networks
from imgserve.download.resolve import Resolve, resolve
from imgserve.errors import FetchFailed, TooLarge

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
