"""The body of an upload as it streams in: a form with files, or one file. What is not taken out is dropped at the end.

Files are only collected here; what becomes of them says whoever takes them.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Self

from imgserve.errors import BadRequest, BodyTooLarge, ImgserveError, ReadOnlyOriginals
from imgserve.http.multipart import Event, FormReader, PartEnd, PartHead
from imgserve.library.upload import UploadReceiver, UploadWriter, dropped
from imgserve.originals.incoming import Incoming

_FIELDS = 100
_FIELD_BYTES = 64 * 1024
"""Of the text fields of a form together."""


@dataclass(slots=True)
class ArrivedFile:
    """A file that is there whole, or why it is not."""

    name: str
    """What the client calls it, unchecked."""
    incoming: Incoming | None = None
    error: ImgserveError | None = None

    def taken(self) -> Incoming:
        """Hand the file over to someone who drops it, or raise what was wrong with it."""
        incoming, self.incoming = self.incoming, None
        if self.error is not None:
            raise self.error
        if incoming is None:
            raise BadRequest("expected each file once")
        return incoming


@dataclass(slots=True)
class Collected:
    """What came in one request."""

    files: list[ArrivedFile] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)
    """Text fields in order, names repeated."""


class Collector:
    """Collects one request; as a context it drops whatever was not taken out."""

    def __init__(self, receiving: UploadReceiver, *, files: int, request_bytes: int) -> None:
        """Take who opens files, how many files one request may have, and how many bytes."""
        self._receiving = receiving
        self._most_files = files
        self._most_bytes = request_bytes
        self._field_bytes = 0
        self._collected = Collected()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for file in self._collected.files:
            if file.incoming is not None:
                await dropped(file.incoming)

    async def raw(self, stream: AsyncIterator[bytes], name: str) -> ArrivedFile:
        """Take the whole body for one file."""
        async with _begun(self._receiving) as arriving:
            async for piece in stream:
                await arriving.write(piece)
            return self._kept(ArrivedFile(name, await arriving.hand_over()))

    async def fetched(self, url: str) -> ArrivedFile:
        """Fetch one file."""
        incoming, name = await self._receiving.fetch(url)
        return self._kept(ArrivedFile(name, incoming))

    async def form(self, stream: AsyncIterator[bytes], content_type: str) -> Collected:
        """Take a form; a file that cannot be kept does not spoil the others.

        Raises:
            BadRequest: it is no form.
            BodyTooLarge: there is too much of it.
        """
        async with contextlib.aclosing(self._events(stream, FormReader(content_type))) as events:
            async for event in events:
                if isinstance(event, PartHead) and event.file_name is None:
                    await self._field(event.name, events)
                elif isinstance(event, PartHead):
                    await self._file(event.file_name or "", events)
        return self._collected

    def _kept(self, file: ArrivedFile) -> ArrivedFile:
        self._collected.files.append(file)
        return file

    async def _events(self, stream: AsyncIterator[bytes], reader: FormReader) -> AsyncGenerator[Event]:
        received = 0
        async for piece in stream:
            received += len(piece)
            if received > self._most_bytes:
                raise BodyTooLarge(f"The request is larger than {self._most_bytes} bytes.")
            for event in reader.feed(piece):
                yield event
        reader.end()

    async def _field(self, name: str, events: AsyncIterator[Event]) -> None:
        if len(self._collected.fields) == _FIELDS:
            raise BodyTooLarge(f"The form has more than {_FIELDS} text fields.")
        value = bytearray()
        async for piece in _data(events):
            value += piece
            self._field_bytes += len(piece)
            if self._field_bytes > _FIELD_BYTES:
                raise BodyTooLarge(f"The text fields of the form are larger than {_FIELD_BYTES} bytes.")
        try:
            self._collected.fields.append((name, value.decode()))
        except UnicodeDecodeError as error:
            raise BadRequest(f"{name}: expected text in UTF-8") from error

    async def _file(self, name: str, events: AsyncIterator[Event]) -> None:
        if len(self._collected.files) == self._most_files:
            raise BodyTooLarge(f"The request has more than {self._most_files} files.")
        file = ArrivedFile(name)
        async with _begun(self._receiving) as arriving:
            async for piece in _data(events):
                if file.error is None:  # what is left of a file that cannot be kept flows by
                    file.error = await _failure(arriving.write(piece))
                if file.error is not None:
                    await arriving.drop()
            if name or arriving.size:  # a browser sends an empty part where no file was chosen
                self._collected.files.append(file)
                if file.error is None:
                    file.error = await _failure(_complete(file, arriving))


async def _complete(file: ArrivedFile, arriving: UploadWriter) -> None:
    file.incoming = await arriving.hand_over()


async def _failure(step: Awaitable[None]) -> ImgserveError | None:
    """Tell what went wrong with one file; what would go wrong with every file is raised."""
    try:
        await step
    except ReadOnlyOriginals:
        raise
    except ImgserveError as error:
        return error
    return None


async def _data(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """Give the pieces of a part up to its end."""
    async for event in events:
        if isinstance(event, PartEnd):
            return
        if isinstance(event, bytes):
            yield event


@contextlib.asynccontextmanager
async def _begun(receiving: UploadReceiver) -> AsyncIterator[UploadWriter]:
    """Begin a file, of which nothing is left unless it is handed over."""
    arriving = receiving.file()
    try:
        yield arriving
    finally:
        await arriving.drop()
