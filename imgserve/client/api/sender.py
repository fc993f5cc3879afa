"""Sends calls and waits for the answers: the blocking shell. What is sent and what it means is decided elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import httpx2

from imgserve.client.api.call import Answer, Call
from imgserve.client.api.files import Reading
from imgserve.client.api.line import Line, answered
from imgserve.client.api.reading import Page

T = TypeVar("T")


class Sender:
    """Connections to one server, for use from any thread."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._http = httpx2.Client(follow_redirects=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Send a call, and read its answer."""
        return call.result(answered(self._asked(call, whole=True)))

    def send_all(self, calls: Iterable[Call[T]]) -> list[T]:
        """Send calls one after the other, and read their answers."""
        return [self.send(call) for call in calls]

    def pages(self, page: Callable[[str | None], Call[Page[T]]], most: int | None = None) -> Iterator[T]:
        """Go through a list, or the first so many of it, asking for each page when it is needed."""
        return islice(self._all(page), most)

    def lines(self, call: Call[Answer]) -> Iterator[str]:
        """Send a call, and give its answer line by line as it comes."""
        with self._streamed(call) as response:
            yield from response.iter_lines()

    def pieces(self, call: Call[Answer]) -> Iterator[bytes]:
        """Send a call, and give its answer piece by piece as it comes."""
        with self._streamed(call) as response:
            yield from response.iter_bytes()

    def _all(self, page: Callable[[str | None], Call[Page[T]]]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            found = self.send(page(cursor))
            yield from found.items
            cursor = found.cursor
            if cursor is None:
                return

    @contextlib.contextmanager
    def _streamed(self, call: Call[Answer]) -> Iterator[httpx2.Response]:
        response = self._asked(call, whole=False)
        try:
            if response.is_stream_consumed:
                call.result(answered(response))
            yield response
        except httpx2.RequestError as failure:
            raise self._line.unreachable(failure) from failure
        finally:
            response.close()

    def _asked(self, call: Call[Any], *, whole: bool) -> httpx2.Response:
        """Send a call until it is answered."""
        trial = self._line.trial(call)
        while True:
            try:
                response = self._tried(call, whole=whole)
            except httpx2.RequestError as failure:
                wait = self._line.after(trial, failure)
            else:
                again = trial.after_answer(answered(response)) if response.is_stream_consumed else None
                if again is None:
                    return response
                wait = again
            time.sleep(wait)

    def _tried(self, call: Call[Any], *, whole: bool) -> httpx2.Response:
        """Send a call once; an answer that is no success is read whole in any case."""
        reading = None if call.file is None else call.file.open()
        try:
            content = call.body if reading is None else _pieces(reading)
            headers, timeout = self._line.headers(call, reading), self._line.waits(call)
            request = self._http.build_request(
                call.method, self._line.url(call), headers=headers, content=content, timeout=timeout
            )
            response = self._http.send(request, stream=True)
        finally:
            if reading is not None:
                reading.close()
        if whole or not response.is_success:
            try:
                response.read()
            finally:
                response.close()
        return response


def _pieces(reading: Reading) -> Iterator[bytes]:
    if reading.form is not None:
        yield reading.form.head
    while piece := reading.piece():
        yield piece
        reading.sent()
    if reading.form is not None:
        yield reading.form.tail
