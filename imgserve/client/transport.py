"""Sends calls to one server, blocking or with asyncio, and repeats those that failed.

Everything is written once, as coroutines. Over the connections of a blocking `httpx2.Client` these never suspend, so
that they run without an event loop.
"""

import asyncio
import contextlib
import os
import random
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

import httpx2

import imgserve
from imgserve.client.call import Call
from imgserve.client.errors import ServerUnreachable, error_of
from imgserve.client.files import FileReader, replacing
from imgserve.client.urls import checked_base
from imgserve.errors import IdempotencyConflict, ImgserveError
from imgserve.http.headers import retry_after_seconds

P = ParamSpec("P")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
A_co = TypeVar("A_co", covariant=True)

_KEY_VARIABLE = "IMGSERVE_KEY"
_CONNECT_SECONDS = 10.0
_SLOW_SECONDS = 600.0
"""Between two pieces of a response that takes long."""
_PRINTABLE = re.compile(r"[\x21-\x7e]*")
_BUSY = frozenset({429, 503})
_PERMANENT = (
    *(httpx2.ReadTimeout, httpx2.WriteTimeout, httpx2.ProxyError),
    *(httpx2.UnsupportedProtocol, httpx2.LocalProtocolError),
)
"""Failures that another try would meet again, or only wait for again."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How long a client repeats calls to a server that is busy or was reached before and cannot be reached now."""

    seconds: float = 30.0
    """No wait begins that would end later than this after the first try; 0 for a single try."""
    first: float = 0.2
    """Seconds before the second try, unless the server says how long; doubled from try to try."""
    most: float = 5.0
    """The most seconds between two tries, unless the server says how long."""
    spread: float = 0.25
    """Each wait is longer by up to this share of it, so that many clients do not return at once."""
    report: Callable[[ImgserveError, float], object] | None = None
    """Called before each wait with the error of the last try and the seconds."""


@dataclass(slots=True)
class Attempts:
    """The tries of one call."""

    retries: Retries
    call: Call[Any]
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _tries: int = 0

    def __post_init__(self) -> None:
        self._began = self.clock()

    def after_response(self, response: httpx2.Response) -> float | None:
        """Return the seconds to wait before the next try, or None if this response is final."""
        status = response.status_code
        if status not in _BUSY and not (self._tries and status == IdempotencyConflict.status):
            return None
        error = error_of(status, response.headers, response.content)
        # After a lost response, a conflict means that the server still works on the earlier try.
        if status in _BUSY or isinstance(error, IdempotencyConflict):
            return self._wait(error, retry_after_seconds(response.headers.get("retry-after", "")))
        return None

    def after_failure(self, failure: ServerUnreachable, *, permanent: bool) -> float:
        """Return the seconds to wait before the next try; raise ServerUnreachable if there is none."""
        wait = None if permanent else self._wait(failure, None)
        if wait is None:
            raise failure
        return wait

    def _wait(self, error: ImgserveError, retry_after: int | None) -> float | None:
        if self.call.file is not None and not self.call.file.rereadable:
            return None
        own = min(self.retries.most, self.retries.first * 2**self._tries)
        wait: float = (own if retry_after is None else max(own, retry_after)) * (
            1 + random.uniform(0, self.retries.spread)
        )
        self._tries += 1
        if self.clock() - self._began + wait > self.retries.seconds:
            return None
        if self.retries.report is not None:
            self.retries.report(error, wait)
        return wait


class Sender:
    """Sends calls to one server."""

    def __init__(
        self,
        http: httpx2.Client | httpx2.AsyncClient,
        base_url: str,
        key: str | None,
        timeout: float,
        retries: Retries | None,
    ) -> None:
        """Check address and key, by default that of the environment; raise ValueError if one is malformed."""
        if not re.match(r"https?://", base_url, re.IGNORECASE):
            raise ValueError(f"server: expected an address such as https://img.example.com, but received {base_url!r}")
        self.base, self._http, self._blocking = checked_base(base_url), http, isinstance(http, httpx2.Client)
        try:
            httpx2.URL(self.base)
        except httpx2.InvalidURL as error:
            raise ValueError(f"server: {base_url!r} is not an address: {error}") from error
        self._key = os.environ.get(_KEY_VARIABLE, "") if key is None else key
        if not _PRINTABLE.fullmatch(self._key):
            raise ValueError("key: expected an API key, but received one with spaces or characters beyond ASCII")
        self._timeout, self._retries, self._reached = timeout, retries or Retries(), False

    def run(self, work: Coroutine[Any, Any, T]) -> T | Coroutine[Any, Any, T]:
        """Return the result of a coroutine that uses this sender, or the coroutine for the caller to await."""
        if not self._blocking:
            return work
        try:
            work.send(None)
        except StopIteration as end:
            return cast("T", end.value)
        raise RuntimeError("a coroutine of a blocking client was suspended")

    def each(self, items: AsyncGenerator[T]) -> Iterator[T] | AsyncIterator[T]:
        """Return an iterator over a generator that uses this sender."""
        return self._each(items) if self._blocking else items

    def _each(self, items: AsyncGenerator[T]) -> Iterator[T]:
        try:
            while True:
                yield cast("T", self.run(items.__anext__()))
        except StopAsyncIteration:
            return
        finally:
            self.run(items.aclose())

    async def send(self, call: Call[T]) -> T:
        """Send a call and return the result."""
        return call.result(await self._response(call, whole=True))

    async def close(self) -> None:
        """Close the connections."""
        if isinstance(self._http, httpx2.Client):
            self._http.close()
        else:
            await self._http.aclose()

    async def save(self, call: Call[Any], path: Path) -> None:
        """Send a call and write the body of the response to a file, which appears only when it is complete."""
        with replacing(path) as file:
            async with self._streamed(call) as response:
                async for piece in _awaited_each(response.iter_bytes if self._blocking else response.aiter_bytes):
                    await self._unblocked(file.write, piece)

    async def lines(self, call: Call[Any]) -> AsyncGenerator[str]:
        """Yield the lines of the response to a call as they arrive."""
        async with self._streamed(call) as response:
            async for line in _awaited_each(response.iter_lines if self._blocking else response.aiter_lines):
                yield line

    @contextlib.asynccontextmanager
    async def _streamed(self, call: Call[Any]) -> AsyncIterator[httpx2.Response]:
        response = await self._response(call, whole=False)
        try:
            if response.is_stream_consumed:
                call.result(response)
            yield response
        except httpx2.RequestError as failure:
            raise self._unreachable(failure) from failure
        finally:
            await self._close(response)

    async def _response(self, call: Call[Any], *, whole: bool) -> httpx2.Response:
        """Send a call until there is a final response; an error response is always read whole."""
        attempts = Attempts(self._retries, call)
        while True:
            try:
                response = await self._try(call, whole=whole)
            except httpx2.RequestError as failure:
                # Where no server ever answered, the address is likely wrong.
                never = isinstance(failure, httpx2.ConnectError) and not self._reached
                permanent = never or isinstance(failure, _PERMANENT)
                wait: float | None = attempts.after_failure(self._unreachable(failure), permanent=permanent)
            else:
                self._reached = True
                wait = attempts.after_response(response) if response.is_stream_consumed else None
            if wait is None:
                return response
            await self._sleep(wait)

    async def _try(self, call: Call[Any], *, whole: bool) -> httpx2.Response:
        headers = {"user-agent": f"imgserve/{imgserve.__version__}", **call.all_headers}
        if self._key and not call.public:
            headers["authorization"] = f"Bearer {self._key}"
        read = max(self._timeout, _SLOW_SECONDS) if call.slow else self._timeout
        timeout = httpx2.Timeout(self._timeout, read=read, connect=min(self._timeout, _CONNECT_SECONDS))
        file = None if call.file is None else await self._unblocked(call.file.open)
        try:
            if file is not None and file.length is not None:
                headers["content-length"] = str(file.length)
            content = call.body if file is None else self.each(self._pieces(file))
            request = self._http.build_request(
                call.method, self.base + call.target, content=content, headers=headers, timeout=timeout
            )
            response: httpx2.Response = await _awaited(self._http.send(request, stream=True))
        finally:
            if file is not None:
                file.close()
        if whole or not response.is_success:
            try:
                await _awaited(response.read() if self._blocking else response.aread())
            finally:
                await self._close(response)
        return response

    async def _unblocked(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that blocks, in a thread if there is an event loop."""
        return function(*args, **kwargs) if self._blocking else await asyncio.to_thread(function, *args, **kwargs)

    async def _sleep(self, seconds: float) -> None:
        if self._blocking:
            time.sleep(seconds)  # noqa: ASYNC251  there is no event loop
        else:
            await asyncio.sleep(seconds)

    async def _close(self, response: httpx2.Response) -> None:
        if self._blocking:
            response.close()
        else:
            await response.aclose()

    async def _pieces(self, file: FileReader) -> AsyncGenerator[bytes]:
        form = file.body.form
        if form is not None:
            yield form.head
        while piece := await self._unblocked(file.read):
            yield piece
            file.report()
        if form is not None:
            yield form.tail

    def _unreachable(self, failure: httpx2.RequestError) -> ServerUnreachable:
        """Return the error that says what happened to a connection."""
        if isinstance(failure, httpx2.ConnectTimeout):
            sentence = "no connection in time"
        elif isinstance(failure, httpx2.TimeoutException):
            sentence = f"no answer within {self._timeout:g} seconds"
        elif isinstance(failure, httpx2.ConnectError):
            # asyncio puts the message of the operating system at the end of a chain of causes.
            root: BaseException = failure
            while cause := root.__cause__ or root.__context__:
                root = cause
            known = isinstance(root, ConnectionError) and root.errno
            sentence = f"cannot be reached: {os.strerror(known) if known else failure}"
        else:
            sentence = f"the connection broke off: {str(failure) or type(failure).__name__}"
        error = ServerUnreachable(f"{self.base}: {sentence}")
        error.__cause__ = failure
        return error


async def _awaited(value: T | Awaitable[T]) -> T:
    """Return a value, or await it first."""
    return await value if isinstance(value, Awaitable) else value


async def _awaited_each(items: Callable[[], Iterator[T] | AsyncIterator[T]]) -> AsyncIterator[T]:
    """Iterate over items of both kinds of clients."""
    source = items()
    if isinstance(source, AsyncIterator):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item


S = TypeVar("S", httpx2.Client, httpx2.AsyncClient)


class Connected(Generic[S]):
    """Something that sends calls over connections of one kind."""

    sender: Sender


class Method(Protocol[P, R_co, A_co]):
    """A method that returns one type on a blocking client and another on an asynchronous one."""

    @overload
    def __get__(self, client: Connected[httpx2.Client], owner: type[Any]) -> Callable[P, R_co]: ...
    @overload
    def __get__(self, client: Connected[httpx2.AsyncClient], owner: type[Any]) -> Callable[P, A_co]: ...


def endpoint(work: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> Method[P, T, Coroutine[Any, Any, T]]:
    """Return the method of both clients that returns the result of a coroutine."""

    @wraps(work)
    def method(client: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return client.sender.run(work(client, *args, **kwargs))

    return cast("Method[P, T, Coroutine[Any, Any, T]]", method)


def stream(work: Callable[Concatenate[Any, P], AsyncGenerator[T]]) -> Method[P, Iterator[T], AsyncIterator[T]]:
    """Return the method of both clients that iterates over the generator that a function returns."""

    @wraps(work)
    def method(client: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return client.sender.each(work(client, *args, **kwargs))

    return cast("Method[P, Iterator[T], AsyncIterator[T]]", method)
