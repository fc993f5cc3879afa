"""One of many files to upload, and what is told of it whatever happens to it. Sends nothing."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from imgserve.client.api import images
from imgserve.client.api.asking import Details
from imgserve.client.api.call import Call
from imgserve.client.api.errors import ServerUnreachable
from imgserve.client.api.files import File, Progress
from imgserve.client.api.records import Sent, Uploaded
from imgserve.errors import Forbidden, ImgserveError, Unauthorized

S = TypeVar("S")
T = TypeVar("T")

FAILURES = (ImgserveError, OSError, TypeError, ValueError)
"""What can be wrong with one file, and leaves the others alone."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file among many, with what is true of it alone."""

    file: File
    image_id: str | None = None
    folder: str | None = None
    progress: Progress | None = None
    details: Details = field(default_factory=Details, hash=False)
    replace: bool = False
    """Put it in place of what has its id."""

    @property
    def name(self) -> str:
        """What it is told by."""
        if isinstance(self.file, tuple):
            return self.file[0]
        if isinstance(self.file, (str, os.PathLike)):
            return os.fspath(self.file)
        return self.image_id or str(getattr(self.file, "name", ""))

    def call(self, folder: str | None, shared: Details) -> Call[Uploaded]:
        """Describe its upload; what is true of it alone goes before what is true of all."""
        details = Details(**{**shared, **self.details})
        if self.replace and self.image_id is not None:
            return images.put(self.image_id, self.file, progress=self.progress, **details)
        below = None if self.image_id is not None else self.folder or folder
        return images.upload(self.file, image_id=self.image_id, folder=below, progress=self.progress, **details)

    def failed(self, error: Exception) -> Sent:
        """Tell what was wrong with it.

        Raises:
            ImgserveError: the same, where all others would meet it too.
        """
        if isinstance(error, (ServerUnreachable, Unauthorized)) or type(error) is Forbidden:
            raise error
        return Sent(self.name, None, error)


def upload_of(item: Upload | File) -> Upload:
    """Take what can be uploaded among many."""
    return item if isinstance(item, Upload) else Upload(item)


async def in_parallel(work: Callable[[S], Awaitable[T]], items: Iterable[S], most: int) -> AsyncIterator[T]:
    """Work on items, at most so many at a time, and give the results as they come; none is begun before it is due."""
    waiting, running = iter(items), set[asyncio.Future[T]]()
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
