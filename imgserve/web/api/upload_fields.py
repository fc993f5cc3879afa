"""What clients say beside the bytes of an upload: in a form, a query or JSON, read into the same models."""

import json
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    WithJsonSchema,
    model_validator,
)

from imgserve.library.results import Details
from imgserve.model import TAG_CHARACTERS, FocalPoint
from imgserve.web.api.metadata import checked_metadata
from imgserve.web.api.mistakes import bad_request, expected, stated
from imgserve.web.api.reading import checked

M = TypeVar("M", bound=BaseModel)


def _read_tags(value: Any) -> Any:
    """Let text with commas stand for a list, also within a list: forms repeat a field or write it so."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise expected("a list of words, or text with commas")
    return tuple(word.strip() for item in value for word in item.split(",") if word.strip())


def _read_metadata(value: Any) -> Any:
    """Read JSON written as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else {}
    except (ValueError, RecursionError):
        raise expected('a JSON object such as {"campaign": "summer"}') from None


def _read_point(value: Any) -> Any:
    """Read `0.3,0.7`; nothing for no focal point."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    x, _, y = value.partition(",")
    return {"x": x.strip(), "y": y.strip()}


class Point(BaseModel):
    """What crops keep: fractions of the upright image, from its upper left corner."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    x: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    """0 at the left, 1 at the right."""
    y: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    """0 at the top, 1 at the bottom."""


_Word = Annotated[str, Field(max_length=TAG_CHARACTERS)]
_Tags = Annotated[tuple[_Word, ...], BeforeValidator(_read_tags), Field(max_length=200)]
_Metadata = Annotated[dict[str, Any], BeforeValidator(_read_metadata), AfterValidator(checked_metadata)]
_MetadataText = Annotated[_Metadata, WithJsonSchema({"type": "string", "contentMediaType": "application/json"})]
_Point = Annotated[Point | None, BeforeValidator(_read_point)]
_PointText = Annotated[_Point, WithJsonSchema({"type": "string", "examples": ["0.3,0.7"]})]
_Name = Annotated[str, Field(max_length=4000)]
_Id = Annotated[str | None, Field(max_length=4000)]
_Url = Annotated[str, Field(max_length=8192)]


class Said(BaseModel):
    """What an uploader says of an image; what is empty is not said, and what the file itself tells is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    title: Annotated[str, Field(max_length=1000)] = ""
    """What it is called."""
    alt: Annotated[str, Field(max_length=2000)] = ""
    """What to read instead of it."""
    description: Annotated[str, Field(max_length=20_000)] = ""
    """What is to be said of it."""
    tags: _Tags = ()
    """Words to find it by: a list, or text with commas."""
    metadata: _Metadata = Field(default_factory=dict)
    """Free."""
    focal_point: _Point = None
    """What crops keep, as an object or as text such as `0.3,0.7`."""

    def details(self) -> Details:
        """Give it as the one door takes it."""
        point = None if self.focal_point is None else FocalPoint(self.focal_point.x, self.focal_point.y)
        return Details(self.title, self.alt, self.description, self.tags, self.metadata, point)


class SaidText(Said):
    """The same in a form or a query, where all is text."""

    metadata: _MetadataText = Field(default_factory=dict)
    """Free: a JSON object."""
    focal_point: _PointText = None
    """What crops keep, such as `0.3,0.7`."""


class Placed(Said):
    """What an uploader says, and where the image goes; without `id` and `folder` the id is made of the bytes."""

    id: _Id = None
    """Image id, for one file."""
    folder: _Id = None
    """The image goes there under the name of its file."""

    @model_validator(mode="after")
    def _check_one(self) -> "Placed":
        if self.id is not None and self.folder is not None:
            raise stated("expected id or folder, not both")
        return self


class PlacedText(SaidText, Placed):
    """The same in a form or a query."""


class RawUpload(PlacedText):
    """What a query says of the file that is the whole body."""

    filename: _Name = ""
    """What the file is called."""


class RawReplacement(SaidText):
    """What a query says of the file that is the whole body and whose id is known."""

    filename: _Name = ""
    """What the file is called."""


class Address(Placed):
    """A picture to be fetched, and what is said of it."""

    url: _Url
    """Where it is: http or https, without user name and password."""


class ReplacementAddress(Said):
    """A picture to be fetched whose id is known, and what is said of it."""

    url: _Url
    """Where it is: http or https, without user name and password."""


class Addresses(BaseModel):
    """Several pictures to be fetched."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    items: Annotated[tuple[Address, ...], Field(min_length=1)]
    """One after the other; each is answered by itself."""


class ToFetch(RootModel[Address | Addresses]):
    """One picture to be fetched, or several."""


def read_said(model: type[M], values: object) -> M:
    """Read values into a model.

    Raises:
        BadRequest: with every mistake.
    """
    mistakes = list[str]()
    said = checked(model, values, mistakes)
    if said is None:
        raise bad_request(mistakes)
    return said


def form_values(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Gather fields by name: repeated ones become a list, which only tags take."""
    gathered: dict[str, list[str]] = {}
    for name, value in fields:
        gathered.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in gathered.items()}
