"""Sends calls and reads their responses, blocking or with asyncio; and decorators of methods that work with both.

`Sender` and `AsyncSender` are the same step by step. Everything else is shared.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

import httpx2

from imgserve.client.call import Batch, Call, Lines, Pages, Response
from imgserve.client.files import FileReader, replacing
from imgserve.client.transport import Attempts, TransportSettings, response_of

P = ParamSpec("P")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
A_co = TypeVar("A_co", covariant=True)


class Sender:
    """Connections to one server, for use from any thread."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._http = httpx2.Client(follow_redirects=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, build: Callable[P, Call[T] | Batch[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Build a call, send it and return the result."""
        return self.send(build(*args, **kwargs))

    def send(self, call: Call[T] | Batch[T]) -> T:
        """Send a call, or several one after the other, and return the result."""
        if isinstance(call, Batch):
            return call.total(self.send(one) for one in call.calls)
        if call.save_to is not None:
            return self._save(call, call.save_to)
        return call.result(response_of(self._response(call, whole=True)))

    def stream(self, source: Pages[T] | Lines[T]) -> Iterator[T]:
        """Return the items of a list, whose pages are requested as needed, or of a response as they arrive."""
        return islice(self._pages(source), source.limit) if isinstance(source, Pages) else self._lines(source)

    def _pages(self, source: Pages[T]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = self.send(source.page(cursor))
            yield from page.items
            cursor = page.cursor
            if cursor is None:
                return

    def _lines(self, source: Lines[T]) -> Iterator[T]:
        last = None
        with self._streamed(source.call) as response:
            for line in response.iter_lines():
                last = source.read(line)
                yield last
        source.check(last)

    def _save(self, call: Call[T], path: Path) -> T:
        with replacing(path) as file, self._streamed(call) as response:
            for piece in response.iter_bytes():
                file.write(piece)
        return call.result(Response(response.status_code, {}, b""))

    @contextlib.contextmanager
    def _streamed(self, call: Call[Any]) -> Iterator[httpx2.Response]:
        response = self._response(call, whole=False)
        try:
            if response.is_stream_consumed:
                call.result(response_of(response))
            yield response
        except httpx2.RequestError as failure:
            raise self._settings.unreachable(failure) from failure
        finally:
            response.close()

    def _response(self, call: Call[Any], *, whole: bool) -> httpx2.Response:
        """Send a call until there is a final response."""
        attempts = Attempts(self._settings.retries, call)
        while True:
            try:
                response = self._try(call, whole=whole)
            except httpx2.RequestError as failure:
                wait: float | None = self._settings.after_failure(attempts, failure)
            else:
                wait = attempts.after_response(response_of(response)) if response.is_stream_consumed else None
            if wait is None:
                return response
            time.sleep(wait)

    def _try(self, call: Call[Any], *, whole: bool) -> httpx2.Response:
        """Send a call once; an error response is always read whole."""
        reader = None if call.file is None else call.file.open()
        try:
            content = call.body if reader is None else _pieces(reader)
            request = self._http.build_request(content=content, **self._settings.request(call, reader))
            response = self._http.send(request, stream=not whole)
        finally:
            if reader is not None:
                reader.close()
        if not (whole or response.is_success):
            with contextlib.closing(response):
                response.read()
        return response


class AsyncSender:
    """Connections to one server, for use in one event loop."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._http = httpx2.AsyncClient(follow_redirects=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, build: Callable[P, Call[T] | Batch[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Build a call, send it and return the result."""
        return await self.send(build(*args, **kwargs))

    async def send(self, call: Call[T] | Batch[T]) -> T:
        """Send a call, or several one after the other, and return the result."""
        if isinstance(call, Batch):
            return call.total([await self.send(one) for one in call.calls])
        if call.save_to is not None:
            return await self._save(call, call.save_to)
        return call.result(response_of(await self._response(call, whole=True)))

    def stream(self, source: Pages[T] | Lines[T]) -> AsyncIterator[T]:
        """Return the items of a list, whose pages are requested as needed, or of a response as they arrive."""
        return self._pages(source) if isinstance(source, Pages) else self._lines(source)

    async def _pages(self, source: Pages[T]) -> AsyncIterator[T]:
        cursor, left = None, source.limit
        while left is None or left > 0:
            page = await self.send(source.page(cursor))
            for item in page.items[:left]:
                yield item
            left = None if left is None else left - len(page.items)
            cursor = page.cursor
            if cursor is None:
                return

    async def _lines(self, source: Lines[T]) -> AsyncIterator[T]:
        last = None
        async with self._streamed(source.call) as response:
            async for line in response.aiter_lines():
                last = source.read(line)
                yield last
        source.check(last)

    async def _save(self, call: Call[T], path: Path) -> T:
        with replacing(path) as file:
            async with self._streamed(call) as response:
                async for piece in response.aiter_bytes():
                    await asyncio.to_thread(file.write, piece)
        return call.result(Response(response.status_code, {}, b""))

    @contextlib.asynccontextmanager
    async def _streamed(self, call: Call[Any]) -> AsyncIterator[httpx2.Response]:
        response = await self._response(call, whole=False)
        try:
            if response.is_stream_consumed:
                call.result(response_of(response))
            yield response
        except httpx2.RequestError as failure:
            raise self._settings.unreachable(failure) from failure
        finally:
            await response.aclose()

    async def _response(self, call: Call[Any], *, whole: bool) -> httpx2.Response:
        """Send a call until there is a final response."""
        attempts = Attempts(self._settings.retries, call)
        while True:
            try:
                response = await self._try(call, whole=whole)
            except httpx2.RequestError as failure:
                wait: float | None = self._settings.after_failure(attempts, failure)
            else:
                wait = attempts.after_response(response_of(response)) if response.is_stream_consumed else None
            if wait is None:
                return response
            await asyncio.sleep(wait)

    async def _try(self, call: Call[Any], *, whole: bool) -> httpx2.Response:
        """Send a call once; an error response is always read whole."""
        reader = None if call.file is None else await asyncio.to_thread(call.file.open)
        try:
            content = call.body if reader is None else _async_pieces(reader)
            request = self._http.build_request(content=content, **self._settings.request(call, reader))
            response = await self._http.send(request, stream=not whole)
        finally:
            if reader is not None:
                reader.close()
        if not (whole or response.is_success):
            async with contextlib.aclosing(response):
                await response.aread()
        return response


S = TypeVar("S", Sender, AsyncSender)


class Connected(Generic[S]):
    """Something that sends calls."""

    sender: S


class Method(Protocol[P, R_co, A_co]):
    """A method that returns one type on a blocking client and another on an asynchronous one."""

    @overload
    def __get__(self, client: Connected[Sender], owner: type[Any]) -> Callable[P, R_co]: ...
    @overload
    def __get__(self, client: Connected[AsyncSender], owner: type[Any]) -> Callable[P, A_co]: ...


def endpoint(build: Callable[Concatenate[Any, P], Call[T] | Batch[T]]) -> Method[P, T, Coroutine[Any, Any, T]]:
    """Return the method of both clients that sends the call that a function returns."""

    @wraps(build)
    def method(client: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return client.sender.call(build, client, *args, **kwargs)

    return cast("Method[P, T, Coroutine[Any, Any, T]]", method)


def stream(build: Callable[Concatenate[Any, P], Pages[T] | Lines[T]]) -> Method[P, Iterator[T], AsyncIterator[T]]:
    """Return the method of both clients that iterates over the source that a function returns."""

    @wraps(build)
    def method(client: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return client.sender.stream(build(client, *args, **kwargs))

    return cast("Method[P, Iterator[T], AsyncIterator[T]]", method)


def _pieces(reader: FileReader) -> Iterator[bytes]:
    form = reader.body.form
    if form is not None:
        yield form.head
    while piece := reader.read():
        yield piece
        reader.report()
    if form is not None:
        yield form.tail


async def _async_pieces(reader: FileReader) -> AsyncIterator[bytes]:
    form = reader.body.form
    if form is not None:
        yield form.head
    while piece := await asyncio.to_thread(reader.read):
        yield piece
        reader.report()
    if form is not None:
        yield form.tail
