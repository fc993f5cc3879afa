"""What callers say of images, in queries and bodies: which are meant, and what is to change."""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from imgserve.catalog import ImageQuery, Selection, Sort
from imgserve.model import FocalPoint, Origin
from imgserve.web.api.metadata import joined_metadata
from imgserve.web.api.mistakes import stated
from imgserve.web.api.values import (
    Amount,
    Cursor,
    FormatName,
    ImageId,
    Limit,
    Metadata,
    Moment,
    SomePrefix,
    SomeTag,
    Tags,
    whole,
)

_ONE: JsonDict = {"minProperties": 1}


class Asked(BaseModel):
    """A query or body: nothing is taken for something else, and every name is known."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


class Filters(Asked):
    """Which images are meant: those for which all of this is true."""

    prefix: ImageId = ""
    """The image id begins so; nothing in it is a wildcard."""
    q: Annotated[str, Field(max_length=1000)] = ""
    """Every word begins a word of title, alt, description, tags or image id; case and accents do not matter."""
    tag: Annotated[list[SomeTag], Field(max_length=20)] = []
    """It has all of these."""
    format: Annotated[list[FormatName], Field(max_length=20)] = []
    """It has one of these, if any are given."""
    origin: Literal["upload", "watch", "import"] | None = None
    """How it came."""
    min_bytes: Amount | None = None
    """The original is at least so large."""
    max_bytes: Amount | None = None
    """The original is at most so large."""
    min_width: Amount | None = None
    """It is at least so wide, upright."""
    max_width: Amount | None = None
    """It is at most so wide, upright."""
    min_height: Amount | None = None
    """It is at least so high, upright."""
    max_height: Amount | None = None
    """It is at most so high, upright."""
    created_from: Moment | None = None
    """It was first recorded at this time or later."""
    created_before: Moment | None = None
    """It was first recorded before this time."""
    changed_from: Moment | None = None
    """Its record last changed at this time or later."""
    changed_before: Moment | None = None
    """Its record last changed before this time."""

    @property
    def means_all(self) -> bool:
        """Tell whether all images are meant, and not only for want of a filter."""
        return self.prefix == "" and "prefix" in self.model_fields_set

    def query(self) -> ImageQuery:
        """Give it as the catalog takes it."""
        same = {name: getattr(self, name) for name in Filters.model_fields if name not in _RENAMED}
        origin = None if self.origin is None else Origin(self.origin)
        return ImageQuery(**same, text=self.q.strip(), tags=tuple(self.tag), formats=tuple(self.format), origin=origin)


_RENAMED = {"q", "tag", "format", "origin"}


class Listing(Filters):
    """Which images are listed, in which order, from where."""

    sort: Literal["created", "changed", "id", "bytes", "pixels"] = "created"
    """What they are ordered by; those that are equal in it, by image id."""
    order: Literal["asc", "desc"] | None = None
    """Upward or downward; left out, ids go upward and all else downward."""
    limit: Limit = 50
    """Images of a page."""
    cursor: Cursor = None
    """The `next` of the page before."""

    @property
    def key(self) -> Sort:
        """Tell the order."""
        return Sort(self.sort)

    @property
    def descending(self) -> bool:
        """Tell its direction."""
        return self.order == "desc" if self.order else self.sort != "id"


class Paging(Asked):
    """A piece of a list."""

    limit: Limit = 50
    """Entries of a page."""
    cursor: Cursor = None
    """The `next` of the page before."""


class PrefixPaging(Paging):
    """A piece of a list of what has image ids."""

    prefix: ImageId = ""
    """The image id begins so."""


class Likeness(Asked):
    """How alike images have to be."""

    distance: Annotated[int, Field(ge=0, le=64), BeforeValidator(whole)] = 10
    """Bits of 64 by which their perceptual hashes may differ."""
    limit: Limit = 50
    """Images that are told of."""


def _drop_default(schema: JsonDict) -> None:
    """Say nothing of a default that only stands for what is not said."""
    schema.pop("default", None)


_UNSAID = Field(json_schema_extra=_drop_default)


def _at_least_one(schema: JsonDict) -> None:
    schema.pop("default", None)
    said: dict[str, JsonDict] = {
        "q": {"pattern": r"\S"},
        "tag": {"minItems": 1},
        "format": {"minItems": 1},
        "prefix": {},
    }
    kinds = {name: said.get(name, {"not": {"type": "null"}}) for name in Filters.model_fields}
    schema["anyOf"] = [{"required": [name], "properties": {name: kind}} for name, kind in kinds.items()]


SELECTED: JsonDict = {"oneOf": [{"required": ["ids"]}, {"required": ["query"]}]}
"""Of the schema of a selection."""


class Selected(Asked):
    """Which images are meant: either `ids` or `query`."""

    model_config = ConfigDict(json_schema_extra=SELECTED)

    ids: Annotated[list[ImageId], Field(min_length=1, max_length=10_000)] = Field(default_factory=list)
    """Image ids; those that are not known are passed over."""
    query: Annotated[Filters, Field(json_schema_extra=_at_least_one)] = Filters()
    """Filters as in the list of images, at least one; all images are meant by `"prefix": ""`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        one_of(self, {"ids", "query"})
        # A filter may be there and say nothing, as an empty list does.
        if "query" in self.model_fields_set and self.query.query() == ImageQuery() and not self.query.means_all:
            raise stated('query: expected at least one filter; all images are meant by "prefix": ""')
        return self

    @property
    def selection(self) -> Selection:
        """Give it as the catalog takes it."""
        return self.query.query() if "query" in self.model_fields_set else self.ids


class Retagging(Selected):
    """Which images are given tags, or lose them."""

    add: Tags = []
    """Tags that they get."""
    remove: Tags = []
    """Tags that they lose, unless they are also given."""


class PurgeWhat(Asked):
    """What is purged: exactly one of these."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [name]} for name in ("prefix", "tag", "preset", "all")]}
    )

    prefix: Annotated[SomePrefix, _UNSAID] = ""
    """Images whose id begins so."""
    tag: Annotated[SomeTag, _UNSAID] = ""
    """Images that have this tag."""
    preset: Annotated[str, Field(min_length=1, max_length=200), _UNSAID] = ""
    """Whatever this preset alone has made, of every image."""
    all: Annotated[Literal[True], _UNSAID] = True
    """Everything."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        one_of(self, {"prefix", "tag", "preset", "all"})
        return self


class FocalPointIn(Asked):
    """What crops keep: fractions of the upright image, from its upper left corner."""

    x: Annotated[float, Field(ge=0, le=1)]
    """From the left."""
    y: Annotated[float, Field(ge=0, le=1)]
    """From the top."""


class Changes(Asked):
    """What is to change, as a JSON Merge Patch (RFC 7396): what is left out stays, null empties."""

    model_config = ConfigDict(json_schema_extra=_ONE)

    title: Annotated[str, Field(max_length=1000)] | None = None
    """What it is called."""
    alt: Annotated[str, Field(max_length=2000)] | None = None
    """What to read instead of it."""
    description: Annotated[str, Field(max_length=20_000)] | None = None
    """What is to be said of it."""
    tags: Tags | None = None
    """All of its tags."""
    metadata: Metadata | None = None
    """Entries that are added or replaced; those that are null are removed."""
    focal_point: FocalPointIn | None = None
    """What crops keep; another one is another version of the image."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_fields_set:
            raise stated(f"expected something to change: {', '.join(Changes.model_fields)}")
        return self

    def fields(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """Give what changes by the names of a record, which has this metadata.

        Raises:
            BadRequest: the metadata would grow too long.
        """
        point = None if self.focal_point is None else FocalPoint(self.focal_point.x, self.focal_point.y)
        empty = {"title": "", "alt": "", "description": "", "tags": ()}
        plain = {name: getattr(self, name) or nothing for name, nothing in empty.items()}
        merged = {} if self.metadata is None else joined_metadata(metadata, self.metadata)
        changes = {**plain, "metadata": merged, "focal_point": point}
        return {name: changes[name] for name in self.model_fields_set}


def one_of(model: BaseModel, names: Collection[str]) -> None:
    """Refuse a model that does not say exactly one of these."""
    given = [name for name in type(model).model_fields if name in names and name in model.model_fields_set]
    if len(given) != 1:
        known = [name for name in type(model).model_fields if name in names]
        raise _one_expected(known, given)


def _one_expected(known: Collection[str], given: Collection[str]) -> PydanticCustomError:
    return stated(f"expected exactly one of {', '.join(known)}, but received {', '.join(given) or 'none'}")
