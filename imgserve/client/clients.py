"""The clients of the API, `Imgserve` and `AsyncImgserve`: their life cycles, and uploads of many files."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Self, TypeVar, Unpack

from imgserve.client.arguments import Details
from imgserve.client.endpoints import Endpoints
from imgserve.client.files import File
from imgserve.client.records import Sent
from imgserve.client.senders import AsyncSender, Sender
from imgserve.client.transport import TransportSettings
from imgserve.client.uploads import FAILURES, Upload, upload_of

T = TypeVar("T")
U = TypeVar("U")


class Imgserve(Endpoints[Sender]):
    """The client of one server, which blocks; usable from several threads.

    Close it, or use it as a context manager.
    """

    def _sender_of(self, settings: TransportSettings) -> Sender:
        return Sender(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.sender.close()

    def upload_many(
        self, files: Iterable[File | Upload], *, folder: str | None = None, **details: Unpack[Details]
    ) -> Iterator[Sent]:
        """Upload files one after the other while this is iterated; a bad one does not stop the others."""
        for item in map(upload_of, files):
            try:
                sent = Sent(item.name, self.sender.send(item.shared(folder, details).call()))
            except FAILURES as error:
                sent = item.failed(error)
            yield sent


class AsyncImgserve(Endpoints[AsyncSender]):
    """The client of one server for asyncio, for one event loop.

    Close it, or use it as an asynchronous context manager.
    """

    def _sender_of(self, settings: TransportSettings) -> AsyncSender:
        return AsyncSender(settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.sender.close()

    def upload_many(
        self,
        files: Iterable[File | Upload],
        *,
        folder: str | None = None,
        parallel: int = 4,
        **details: Unpack[Details],
    ) -> AsyncIterator[Sent]:
        """Upload files, some at a time, and return each result when it is done; a bad one does not stop the others."""

        async def send(item: Upload) -> Sent:
            try:
                uploaded = await self.sender.send(item.shared(folder, details).call())
            except FAILURES as error:
                return item.failed(error)
            return Sent(item.name, uploaded)

        return _in_parallel(send, map(upload_of, files), parallel)


async def _in_parallel(work: Callable[[T], Awaitable[U]], items: Iterable[T], most: int) -> AsyncIterator[U]:
    """Work on items, at most so many at a time, and return results in the order in which they finish."""
    waiting, running = iter(items), set[asyncio.Future[U]]()
    try:
        while True:
            running |= {asyncio.ensure_future(work(item)) for item in islice(waiting, most - len(running))}
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.discard(task)
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
