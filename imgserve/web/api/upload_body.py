"""The input of uploads: models of the descriptive fields, and receivers of forms and files."""

import contextlib
import json
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    WithJsonSchema,
    create_model,
    model_validator,
)
from starlette.requests import Request

from imgserve.errors import BadImageId, BadRequest, BodyTooLarge, ImgserveError, ReadOnlyOriginals, UnsupportedContent
from imgserve.http.multipart import Event, FormReader, PartEnd, PartHead
from imgserve.library.upload import UploadReceiver, dropped
from imgserve.model import EDITABLE, FocalPoint
from imgserve.originals.incoming import Incoming
from imgserve.validation import expected, stated
from imgserve.web.api.requests import (
    TEXT_TYPES,
    FocalPointIn,
    RequestModel,
    Tag,
    checked_metadata,
    editable_fields,
)

_FIELDS = 100
_FIELD_BYTES = 64 * 1024
"""Maximum size of all text fields of a form together."""
_PART_BYTES = 255


def _read_tags(value: Any) -> Any:
    """Split text at commas, also within a list, since forms repeat a field or use commas."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise expected("a list of words, or text with commas")
    return tuple(word.strip() for item in value for word in item.split(",") if word.strip())


def _read_metadata(value: Any) -> Any:
    """Parse text as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else {}
    except (ValueError, RecursionError):
        raise expected('a JSON object such as {"campaign": "summer"}') from None


def _read_point(value: Any) -> Any:
    """Parse text such as `0.3,0.7`; empty text is no focal point."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    x, _, y = value.partition(",")
    return {"x": x.strip(), "y": y.strip()}


class UploadedPoint(FocalPointIn):
    """The point that crops keep, as fractions of the upright image from its upper left corner."""

    model_config = ConfigDict(strict=False)


_Metadata = Annotated[dict[str, Any], BeforeValidator(_read_metadata), AfterValidator(checked_metadata)]
_Point = Annotated[UploadedPoint | None, BeforeValidator(_read_point)]
_Name = Annotated[str, Field(max_length=4000)]
_DETAIL_TYPES: Mapping[object, Any] = {
    **TEXT_TYPES,
    tuple[str, ...]: Annotated[tuple[Tag, ...], BeforeValidator(_read_tags), Field(max_length=200)],
    Mapping[str, Any]: _Metadata,
    FocalPoint | None: _Point,
}
_DetailFields = create_model("_DetailFields", __base__=RequestModel, **editable_fields(_DETAIL_TYPES))


class UploadDetails(_DetailFields):
    """Descriptive fields of an upload; empty fields are filled from the metadata of the file.

    Tags may be text with commas, and the focal point text such as `0.3,0.7`.
    """

    model_config = ConfigDict(strict=False)

    def details(self) -> dict[str, Any]:
        """Return the fields that are not empty, for the ingest service."""
        values = {name: value for name, value in dict(self).items() if name in EDITABLE and value}
        return {name: value.point if isinstance(value, UploadedPoint) else value for name, value in values.items()}


class TextDetails(UploadDetails):
    """Descriptive fields in a form or a query, where all values are text."""

    metadata: Annotated[_Metadata, WithJsonSchema({"type": "string", "contentMediaType": "application/json"})] = Field(
        default_factory=dict
    )
    """A JSON object."""
    focal_point: Annotated[_Point, WithJsonSchema({"type": "string", "examples": ["0.3,0.7"]})] = None
    """The point that crops keep, such as `0.3,0.7`."""


class Placed(UploadDetails):
    """Descriptive fields and the id of an image; without `id` and `folder`, the id is derived from the content."""

    id: _Name | None = None
    """The image id, for one file."""
    folder: _Name | None = None
    """The folder of the image, which keeps its file name."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.id is not None and self.folder is not None:
            raise stated("expected id or folder, not both")
        return self


class PlacedText(TextDetails, Placed):
    """The same in a form or a query."""


class RawReplacement(TextDetails):
    """The query of a replacement whose body is the file."""

    filename: _Name = ""
    """The file name."""


class RawUpload(PlacedText, RawReplacement):
    """The query of an upload whose body is the file."""


class ReplacementAddress(UploadDetails):
    """An image to fetch under a known id."""

    url: Annotated[str, Field(max_length=8192)]
    """An http or https URL without user name and password."""


class Address(Placed, ReplacementAddress):
    """An image to fetch."""


class Addresses(RequestModel):
    """Several images to fetch."""

    model_config = ConfigDict(strict=False)

    items: Annotated[tuple[Address, ...], Field(min_length=1)]
    """Fetched one after the other; each has its own result."""


class ToFetch(RootModel[Address | Addresses]):
    """One image to fetch, or several."""


def file_id(folder: str, file_name: str) -> str:
    """Return an unchecked id from a folder and a file name; raise BadImageId for a name without usable characters."""
    last = file_name.replace("\\", "/").rpartition("/")[2]
    composed = unicodedata.normalize("NFC", last)
    name = "".join(one for one in composed if unicodedata.category(one) not in {"Cc", "Cs", "Zl", "Zp"})
    name = name.strip().lstrip(".")
    if not name:
        raise BadImageId("expected a file name, since the id is made of the folder and the name of the file")
    # A long name is cut before its extension, unless that is longer than any of an image.
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > 16:  # noqa: PLR2004
        stem, dot, extension = name, "", ""
    room = _PART_BYTES - len(f"{dot}{extension}".encode())
    name = stem.encode()[:room].decode("utf-8", "ignore") + dot + extension
    place = unicodedata.normalize("NFC", folder).strip("/")
    return f"{place}/{name}" if place else name


def form_values(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return fields by name; repeated fields become a list, which only tags accept."""
    gathered: dict[str, list[str]] = {}
    for name, value in fields:
        gathered.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in gathered.items()}


@dataclass(slots=True)
class ReceivedFile:
    """A complete file, or the error that it caused."""

    name: str
    """The unchecked file name of the client."""
    incoming: Incoming | None = None
    error: ImgserveError | None = None

    def take(self) -> Incoming:
        """Return the file, which the caller has to delete, or raise its error."""
        incoming, self.incoming = self.incoming, None
        if self.error is not None:
            raise self.error
        if incoming is None:
            raise BadRequest("expected each file once")
        return incoming


class BodyReceiver:
    """Receives the files of one request; as a context manager it deletes those that are not taken."""

    def __init__(self, receiving: UploadReceiver, *, files: int, request_bytes: int) -> None:
        """Create one that accepts so many files and bytes in a request."""
        self._receiving = receiving
        self._max_files = files
        self._max_bytes = request_bytes
        self._field_bytes = 0
        self.files = list[ReceivedFile]()
        self.fields = list[tuple[str, str]]()
        """Text fields of a form in order; names may be repeated."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for file in self.files:
            if file.incoming is not None:
                await dropped(file.incoming)

    async def raw(self, stream: AsyncIterator[bytes], name: str) -> ReceivedFile:
        """Receive the whole body as one file."""
        async with self._receiving.file() as writer:
            async for piece in stream:
                await writer.write(piece)
            self.files.append(file := ReceivedFile(name, await writer.hand_over()))
        return file

    async def fetched(self, url: str) -> ReceivedFile:
        """Download one file."""
        incoming, name = await self._receiving.fetch(url)
        self.files.append(file := ReceivedFile(name, incoming))
        return file

    async def form(self, stream: AsyncIterator[bytes], content_type: str) -> None:
        """Receive a form; an error of one file does not affect the others.

        Raises BadRequest for another body, and BodyTooLarge for too many bytes, files or fields.
        """
        async with contextlib.aclosing(self._events(stream, FormReader(content_type))) as events:
            async for event in events:
                if isinstance(event, PartHead) and event.file_name is None:
                    await self._field(event.name, events)
                elif isinstance(event, PartHead):
                    await self._file(event.file_name or "", events)

    async def _events(self, stream: AsyncIterator[bytes], reader: FormReader) -> AsyncGenerator[Event]:
        received = 0
        async for piece in stream:
            received += len(piece)
            if received > self._max_bytes:
                raise BodyTooLarge(f"The request is larger than {self._max_bytes} bytes.")
            for event in reader.feed(piece):
                yield event
        reader.end()

    async def _field(self, name: str, events: AsyncIterator[Event]) -> None:
        if len(self.fields) == _FIELDS:
            raise BodyTooLarge(f"The form has more than {_FIELDS} text fields.")
        value = bytearray()
        async for piece in _part(events):
            value += piece
            self._field_bytes += len(piece)
            if self._field_bytes > _FIELD_BYTES:
                raise BodyTooLarge(f"The text fields of the form are larger than {_FIELD_BYTES} bytes.")
        try:
            self.fields.append((name, value.decode()))
        except UnicodeDecodeError as error:
            raise BadRequest(f"{name}: expected text in UTF-8") from error

    async def _file(self, name: str, events: AsyncIterator[Event]) -> None:
        if len(self.files) == self._max_files:
            raise BodyTooLarge(f"The request has more than {self._max_files} files.")
        file = ReceivedFile(name)
        async with self._receiving.file() as writer:
            async for piece in _part(events):
                if file.error is None:  # the rest of a rejected file is read and ignored
                    with _own_error(file):
                        await writer.write(piece)
                if file.error is not None:
                    await writer.drop()
            if name or writer.size:  # a browser sends an empty part if no file was chosen
                self.files.append(file)
                if file.error is None:
                    with _own_error(file):
                        file.incoming = await writer.hand_over()


@contextlib.contextmanager
def _own_error(file: ReceivedFile) -> Iterator[None]:
    """Store an error of one file; an error that every file would have is raised."""
    try:
        yield
    except ReadOnlyOriginals:
        raise
    except ImgserveError as error:
        file.error = error


async def _part(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """Yield the content of a part."""
    async for event in events:
        if isinstance(event, PartEnd):
            return
        if isinstance(event, bytes):
            yield event


def check_length(request: Request, most: int, kind: type[ImgserveError] = BodyTooLarge) -> None:
    """Check length and coding before the body is read; raise BodyTooLarge or another kind, or UnsupportedContent."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise UnsupportedContent("Expected a body without content coding; images are compressed already.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise kind(f"The body is larger than {most} bytes, the limit of this server.")
