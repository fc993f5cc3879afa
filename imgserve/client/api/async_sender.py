"""Sends calls without blocking an event loop: the shell for asyncio, step by step as `sender`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

import httpx2

from imgserve.client.api.call import Answer, Call
from imgserve.client.api.files import Reading
from imgserve.client.api.line import Line, answered
from imgserve.client.api.reading import Page

T = TypeVar("T")


class AsyncSender:
    """Connections to one server, for use in one event loop."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._http = httpx2.AsyncClient(follow_redirects=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send a call, and read its answer."""
        return call.result(answered(await self._asked(call, whole=True)))

    async def send_all(self, calls: Iterable[Call[T]]) -> list[T]:
        """Send calls one after the other, and read their answers."""
        return [await self.send(call) for call in calls]

    async def pages(self, page: Callable[[str | None], Call[Page[T]]], most: int | None = None) -> AsyncIterator[T]:
        """Go through a list, or the first so many of it, asking for each page when it is needed."""
        cursor, left = None, most
        while left is None or left > 0:
            found = await self.send(page(cursor))
            for item in found.items[:left]:
                yield item
            left = None if left is None else left - len(found.items)
            cursor = found.cursor
            if cursor is None:
                return

    async def lines(self, call: Call[Answer]) -> AsyncIterator[str]:
        """Send a call, and give its answer line by line as it comes."""
        async with self._streamed(call) as response:
            async for line in response.aiter_lines():
                yield line

    async def pieces(self, call: Call[Answer]) -> AsyncIterator[bytes]:
        """Send a call, and give its answer piece by piece as it comes."""
        async with self._streamed(call) as response:
            async for piece in response.aiter_bytes():
                yield piece

    @contextlib.asynccontextmanager
    async def _streamed(self, call: Call[Answer]) -> AsyncIterator[httpx2.Response]:
        response = await self._asked(call, whole=False)
        try:
            if response.is_stream_consumed:
                call.result(answered(response))
            yield response
        except httpx2.RequestError as failure:
            raise self._line.unreachable(failure) from failure
        finally:
            await response.aclose()

    async def _asked(self, call: Call[Any], *, whole: bool) -> httpx2.Response:
        """Send a call until it is answered."""
        trial = self._line.trial(call)
        while True:
            try:
                response = await self._tried(call, whole=whole)
            except httpx2.RequestError as failure:
                wait = self._line.after(trial, failure)
            else:
                again = trial.after_answer(answered(response)) if response.is_stream_consumed else None
                if again is None:
                    return response
                wait = again
            await asyncio.sleep(wait)

    async def _tried(self, call: Call[Any], *, whole: bool) -> httpx2.Response:
        """Send a call once; an answer that is no success is read whole in any case."""
        reading = None if call.file is None else await asyncio.to_thread(call.file.open)
        try:
            content = call.body if reading is None else _pieces(reading)
            headers, timeout = self._line.headers(call, reading), self._line.waits(call)
            request = self._http.build_request(
                call.method, self._line.url(call), headers=headers, content=content, timeout=timeout
            )
            response = await self._http.send(request, stream=True)
        finally:
            if reading is not None:
                reading.close()
        if whole or not response.is_success:
            try:
                await response.aread()
            finally:
                await response.aclose()
        return response


async def _pieces(reading: Reading) -> AsyncIterator[bytes]:
    if reading.form is not None:
        yield reading.form.head
    while piece := await asyncio.to_thread(reading.piece):
        yield piece
        reading.sent()
    if reading.form is not None:
        yield reading.form.tail
