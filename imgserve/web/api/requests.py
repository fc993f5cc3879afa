"""Request models shared by several endpoints, and the types of their fields."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic.config import JsonDict

from imgserve.catalog import ImageQuery, Selection
from imgserve.formats import FORMATS
from imgserve.model import EDITABLE, TAG_CHARACTERS, Doc, FocalPoint, ImageRecord, Origin, clean_tags, described_fields
from imgserve.validation import expected, stated
from imgserve.web.api.messages import bad_request

METADATA_CHARACTERS = 65_536
"""Maximum length of the metadata of an image as JSON."""
_METADATA_LEVELS = 32
"""A record is part of lists, which a value that is nested too deeply for some parser would make unreadable."""
_ID_CHARACTERS = 4096
"""More than common file systems allow in a path."""
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


def _moment(value: object) -> datetime:
    error = expected("a time such as 2026-01-31T12:00:00Z")
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise error from None
    raise error


def _whole(value: object) -> object:
    """Return 3 for 3.0, which is an integer in JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _which(holds: Callable[[str], object], description: str) -> AfterValidator:
    """Return a validator of text."""

    def check(text: str) -> str:
        if not holds(text):
            raise expected(description)
        return text

    return AfterValidator(check)


def checked_metadata(values: dict[str, Any]) -> dict[str, Any]:
    """Return metadata, or raise if it is too deep, too long, or not valid JSON in UTF-8."""
    if not _within(values, _METADATA_LEVELS):
        raise expected(f"JSON of at most {_METADATA_LEVELS} levels")
    try:
        text = json.dumps(values, allow_nan=False, ensure_ascii=False)
        text.encode()
    except ValueError:
        raise expected("JSON of Unicode text and finite numbers") from None
    if len(text) > METADATA_CHARACTERS:
        raise expected(f"at most {METADATA_CHARACTERS} characters of JSON")
    return values


def merged_metadata(metadata: Mapping[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return metadata after a JSON Merge Patch; raise BadRequest if it would become too long."""
    merged: dict[str, Any] = _merge_patch(dict(metadata), patch)
    # Metadata that is too long already, such as after several uploads, may be shortened.
    longest = max(METADATA_CHARACTERS, _characters(metadata))
    if _characters(merged) > longest:
        raise bad_request([f"metadata: expected at most {METADATA_CHARACTERS} characters of JSON after the change"])
    return merged


def _merge_patch(target: object, patch: object) -> Any:
    """Apply a JSON Merge Patch as in RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge_patch(merged.get(name), value)
    return merged


def _characters(values: Mapping[str, Any]) -> int:
    return len(json.dumps(dict(values), ensure_ascii=False))


def _within(value: object, levels: int) -> bool:
    """Return whether a value has at most so many levels."""
    if not isinstance(value, (dict, list)):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_within(one, levels - 1) for one in inner)


Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Amount = Annotated[int, Field(ge=0, le=10**15), BeforeValidator(_whole)]
Distance = Annotated[int, Field(ge=0, le=64), BeforeValidator(_whole)]
FormatName = Annotated[
    str,
    _which(FORMATS.__contains__, f"one of {', '.join(FORMATS)}"),
    WithJsonSchema({"type": "string", "enum": list(FORMATS)}),
]
TEXT_TYPES: Mapping[object, Any] = {
    str: Annotated[str, Field(max_length=1000)],
    "alt": Annotated[str, Field(max_length=2000)],
    "description": Annotated[str, Field(max_length=20_000)],
}
"""Types of text fields of a record by name, or by their type in `ImageRecord`."""
Tag = Annotated[str, Field(max_length=TAG_CHARACTERS)]
FilterTag = Annotated[
    str,
    Field(min_length=1, max_length=TAG_CHARACTERS),
    # A tag that is empty after cleaning would not filter, and so select all images.
    _which(lambda name: clean_tags((name,)), "a tag"),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": TAG_CHARACTERS, "pattern": r"[^\s\u0000]"}),
]
Tags = Annotated[list[Tag], Field(max_length=200)]
Metadata = Annotated[dict[str, Any], AfterValidator(checked_metadata)]
Limit = Annotated[int, Field(ge=1, le=1000), BeforeValidator(_whole)]
Cursor = Annotated[str, Field(max_length=20_000, pattern="^[A-Za-z0-9_-]+$")] | None
# pydantic's own bounds reject surrogates, which image ids may contain.
ImageId = Annotated[
    str,
    _which(lambda text: len(text) <= _ID_CHARACTERS, f"text of at most {_ID_CHARACTERS} characters"),
    WithJsonSchema({"type": "string", "maxLength": _ID_CHARACTERS}),
]
Prefix = Annotated[
    ImageId,
    _which(len, "text of at least 1 characters"),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": _ID_CHARACTERS}),
]


class RequestModel(BaseModel):
    """The base of all request models: types are strict and unknown names are mistakes."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    def confined(self, _prefixes: tuple[str, ...]) -> Self | None:
        """Return the request limited to image ids with one of these starts, or None if it is about others too."""
        return None


class ByPrefix(RequestModel):
    """The base of models with the start of image ids, `prefix`."""

    def confined(self, prefixes: tuple[str, ...]) -> Self | None:
        """Return the request with a prefix within these: its own, or the only one that it contains; else None."""
        prefix: str = dict(self)["prefix"]
        if prefix.startswith(prefixes):
            return self
        longer = [one for one in prefixes if one.startswith(prefix)]
        return self.model_copy(update={"prefix": longer[0]}) if len(longer) == 1 else None


class FocalPointIn(RequestModel):
    """The point that crops keep, as fractions of the upright image from its upper left corner."""

    x: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    """0 at the left, 1 at the right."""
    y: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    """0 at the top, 1 at the bottom."""

    @property
    def point(self) -> FocalPoint:
        """The point as a value."""
        return FocalPoint(self.x, self.y)


EMPTY: Mapping[str, Any] = {
    one.name: one.default if one.default_factory is MISSING else one.default_factory()
    for one in fields(ImageRecord)
    if one.name in EDITABLE
}
"""Their values if nothing was set."""


def editable_fields(types: Mapping[object, Any], *, patch: bool = False) -> dict[str, Any]:
    """Return the fields of a model with all editable fields; in a patch, each is optional and may be null.

    `types` are the types of the model by name, or by their type in `ImageRecord`.
    """
    hints, model = get_type_hints(ImageRecord), dict[str, Any]()
    for name, doc in EDITABLE.items():
        kind, empty = types.get(name) or types[hints[name]], EMPTY[name]
        if patch:
            model[name] = (kind | None, Field(None, description=doc.text))
        elif isinstance(empty, dict):
            model[name] = (kind, Field(default_factory=dict, description=doc.text))
        else:
            model[name] = (kind, Field(empty, description=doc.text))
    return model


_FILTERS = {name: one.name for name, one in described_fields(ImageQuery, Doc).items()}
"""Names of filters in the API by those of `ImageQuery`."""
_FILTER_TYPES: Mapping[object, Any] = {
    "prefix": ImageId,
    "text": Annotated[str, Field(max_length=1000)],
    "tags": Annotated[list[FilterTag], Field(max_length=20)],
    "formats": Annotated[list[FormatName], Field(max_length=20)],
    Origin | None: Literal["upload", "watch", "import"] | None,
    int | None: Amount | None,
    datetime | None: Moment | None,
}
"""Types of filters by name, or by their type in `ImageQuery`."""


def _filter_fields() -> dict[str, Any]:
    hints, query = get_type_hints(ImageQuery), ImageQuery()
    model = dict[str, Any]()
    for name, doc in described_fields(ImageQuery, Doc).items():
        kind, default = _FILTER_TYPES.get(name) or _FILTER_TYPES[hints[name]], getattr(query, name)
        model[_FILTERS[name]] = (kind, Field([] if default == () else default, description=doc.text))
    return model


_FilterFields = create_model("_FilterFields", __base__=ByPrefix, **_filter_fields())


class Filters(_FilterFields):
    """Filters for images; an image has to match all of them."""

    @property
    def selects_all(self) -> bool:
        """Whether all images are selected explicitly, and not because there is no filter."""
        return dict(self)["prefix"] == "" and "prefix" in self.model_fields_set

    def query(self) -> ImageQuery:
        """Return the filters as a query of the catalog."""
        values = {name: getattr(self, public) for name, public in _FILTERS.items()}
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        origin = None if values["origin"] is None else Origin(values["origin"])
        return ImageQuery(**values | lists | {"text": values["text"].strip(), "origin": origin})


class Paging(RequestModel):
    """A page of a list."""

    limit: Limit = 50
    """Maximum entries of the page."""
    cursor: Cursor = None
    """The `next` of the previous page."""


def _at_least_one(schema: JsonDict) -> None:
    schema.pop("default", None)
    filled: dict[str, JsonDict] = {
        "q": {"pattern": r"\S"},
        "tag": {"minItems": 1},
        "format": {"minItems": 1},
        "prefix": {},
    }
    kinds = {name: filled.get(name, {"not": {"type": "null"}}) for name in Filters.model_fields}
    schema["anyOf"] = [{"required": [name], "properties": {name: kind}} for name, kind in kinds.items()]


SELECTED: JsonDict = {"oneOf": [{"required": ["ids"]}, {"required": ["query"]}]}
"""Part of the schema of every selection."""


class Selected(RequestModel):
    """A selection of images: either `ids` or `query`."""

    model_config = ConfigDict(json_schema_extra=SELECTED)

    ids: Annotated[list[ImageId], Field(min_length=1, max_length=10_000)] = Field(default_factory=list)
    """Image ids; unknown ids are ignored."""
    query: Annotated[Filters, Field(json_schema_extra=_at_least_one)] = Field(default_factory=Filters)
    """At least one filter as in the list of images; `"prefix": ""` selects all images."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        exactly_one(self, {"ids", "query"})
        # A filter may be present and empty, such as a list of no tags.
        if "query" in self.model_fields_set and self.query.query() == ImageQuery() and not self.query.selects_all:
            raise stated('query: expected at least one filter; "prefix": "" selects all images')
        return self

    def confined(self, prefixes: tuple[str, ...]) -> Self | None:
        """Return the selection among images with these starts; see `RequestModel.confined`."""
        if "query" not in self.model_fields_set:
            return self if all(image_id.startswith(prefixes) for image_id in self.ids) else None
        query = self.query.confined(prefixes)
        return None if query is None else self.model_copy(update={"query": query})

    @property
    def selection(self) -> Selection:
        """The selection for the catalog."""
        return self.query.query() if "query" in self.model_fields_set else self.ids


def exactly_one(model: BaseModel, names: Collection[str]) -> None:
    """Raise unless exactly one of some fields is set."""
    known = [name for name in type(model).model_fields if name in names]
    given = [name for name in known if name in model.model_fields_set]
    if len(given) != 1:
        raise stated(f"expected exactly one of {', '.join(known)}, but received {', '.join(given) or 'none'}")
