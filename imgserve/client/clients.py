"""The clients of the API, `Imgserve` and `AsyncImgserve`: their life cycles, and uploads of many files."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Self, TypeVar, Unpack

from imgserve.client.arguments import Details
from imgserve.client.call import Call
from imgserve.client.endpoints import Endpoints, put_call, upload_call
from imgserve.client.errors import ServerUnreachable
from imgserve.client.files import File, Progress
from imgserve.client.records import Sent, Uploaded
from imgserve.client.senders import AsyncSender, Sender
from imgserve.client.transport import TransportSettings
from imgserve.errors import Forbidden, ImgserveError, Unauthorized

T = TypeVar("T")
U = TypeVar("U")

_FAILURES = (ImgserveError, OSError, TypeError, ValueError)
"""Errors of one file, after which the others are sent."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One of many files, with arguments of its own."""

    file: File
    image_id: str | None = None
    folder: str | None = None
    progress: Progress | None = None
    details: Details = field(default_factory=Details, hash=False)
    replace: bool = False
    """Replace the image that has the id."""

    @classmethod
    def of(cls, item: "Upload | File") -> "Upload":
        """Return an upload, which may be a file alone."""
        return item if isinstance(item, Upload) else cls(item)

    @property
    def name(self) -> str:
        """The name of its result."""
        if isinstance(self.file, tuple):
            return self.file[0]
        if isinstance(self.file, (str, os.PathLike)):
            return os.fspath(self.file)
        return self.image_id or str(getattr(self.file, "name", ""))

    def call(self, folder: str | None, shared: Details) -> Call[Uploaded]:
        """Return the call that uploads it; its own details override the shared ones."""
        details = Details(**{**shared, **self.details})
        if self.replace and self.image_id is not None:
            return put_call(self.image_id, self.file, progress=self.progress, details=details)
        below = None if self.image_id is not None else self.folder or folder
        return upload_call(self.file, image_id=self.image_id, folder=below, progress=self.progress, details=details)

    def failed(self, error: Exception) -> Sent:
        """Return the result of a failure.

        Raises:
            ImgserveError: the same, if all other files would fail too.
        """
        if isinstance(error, (ServerUnreachable, Unauthorized)) or type(error) is Forbidden:
            raise error
        return Sent(self.name, None, error)


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
        for item in map(Upload.of, files):
            try:
                sent = Sent(item.name, self.sender.send(item.call(folder, details)))
            except _FAILURES as error:
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
                uploaded = await self.sender.send(item.call(folder, details))
            except _FAILURES as error:
                return item.failed(error)
            return Sent(item.name, uploaded)

        return _in_parallel(send, map(Upload.of, files), parallel)


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
