"""The clients of the API of a running server, blocking and for asyncio. Importing it imports the network too."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

import httpx2

from imgserve.client.arguments import Changes, Details, Filters, FocalPoint, Listing, Step, Upload
from imgserve.client.endpoints import Endpoints
from imgserve.client.errors import AnswerNotUnderstood, ServerUnreachable
from imgserve.client.files import File, Progress
from imgserve.client.imports import ImportOptions
from imgserve.client.records import ApiKey, Image, Import, ImportImage, Made, Picture, Point, Sent, Similar, Uploaded
from imgserve.client.transport import Retries
from imgserve.records import (
    AuditEntry,
    Deleted,
    ImportProgress,
    PresetRecord,
    Problem,
    Purged,
    RenderProblem,
    Stats,
    TagCount,
    TrashItem,
    UsageCount,
    Warmed,
)

__all__ = [
    "AnswerNotUnderstood", "ApiKey", "AsyncImgserve", "AuditEntry", "Changes", "Deleted", "Details", "File",
    "Filters", "FocalPoint", "Image", "Imgserve", "Import", "ImportImage", "ImportOptions", "ImportProgress",
    "Listing", "Made", "Picture", "Point", "PresetRecord", "Problem", "Progress", "Purged", "RenderProblem",
    "Retries", "Sent", "ServerUnreachable", "Similar", "Stats", "Step", "TagCount", "TrashItem", "Upload",
    "Uploaded", "UsageCount", "Warmed",
]  # fmt: skip

T = TypeVar("T")


class Imgserve(Endpoints[httpx2.Client]):
    """The client of one server, which blocks; usable from several threads.

    Close it, or use it as a context manager.
    """

    _http = httpx2.Client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.sender.run(self.sender.close())

    def upload_many(
        self, files: Iterable[File | Upload], *, folder: str | None = None, **details: Unpack[Details]
    ) -> Iterator[Sent]:
        """Upload files one after the other while this is iterated; a bad one does not stop the others."""
        for file in files:
            yield cast("Sent", self.sender.run(self._sent(file, folder, details)))


class AsyncImgserve(Endpoints[httpx2.AsyncClient]):
    """The client of one server for asyncio, for one event loop.

    Close it, or use it as an asynchronous context manager.
    """

    _http = httpx2.AsyncClient

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
        return _in_parallel((self._sent(file, folder, details) for file in files), parallel)


async def _in_parallel(work: Iterable[Coroutine[Any, Any, T]], most: int) -> AsyncIterator[T]:
    """Run coroutines, at most so many at a time, and return results in the order in which they finish."""
    waiting, running = iter(work), set[asyncio.Future[T]]()
    try:
        while True:
            running |= {asyncio.ensure_future(item) for item in islice(waiting, most - len(running))}
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
