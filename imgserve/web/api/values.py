"""The types of single values in queries and bodies: what is taken for one, and how a mistake is told."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from imgserve.formats import FORMATS
from imgserve.model import TAG_CHARACTERS, clean_tags
from imgserve.web.api.metadata import checked_metadata
from imgserve.web.api.mistakes import expected

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_ID_CHARACTERS = 4096
"""More than a path takes in common file systems."""


def _moment(value: object) -> datetime:
    error = expected("a time such as 2026-01-31T12:00:00Z")
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise error from None
    raise error


def whole(value: object) -> object:
    """Take 3.0 for 3, as JSON Schema does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _known_format(name: str) -> str:
    if name not in FORMATS:
        raise expected(f"one of {', '.join(FORMATS)}")
    return name


def _short_id(text: str) -> str:
    if len(text) > _ID_CHARACTERS:
        raise expected(f"text of at most {_ID_CHARACTERS} characters")
    return text


def _some_text(text: str) -> str:
    if not text:
        raise expected("text of at least 1 characters")
    return text


def _some_tag(name: str) -> str:
    # One of which nothing is left when it is cleaned would filter nothing, and mean all images.
    if not clean_tags((name,)):
        raise expected("a tag")
    return name


Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Amount = Annotated[int, Field(ge=0, le=10**15), BeforeValidator(whole)]
FormatName = Annotated[str, AfterValidator(_known_format), WithJsonSchema({"type": "string", "enum": list(FORMATS)})]
Tag = Annotated[str, Field(max_length=TAG_CHARACTERS)]
SomeTag = Annotated[
    str,
    Field(min_length=1, max_length=TAG_CHARACTERS),
    AfterValidator(_some_tag),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": TAG_CHARACTERS, "pattern": r"[^\s\u0000]"}),
]
Tags = Annotated[list[Tag], Field(max_length=200)]
Metadata = Annotated[dict[str, Any], AfterValidator(checked_metadata)]
Limit = Annotated[int, Field(ge=1, le=1000), BeforeValidator(whole)]
Cursor = Annotated[str, Field(max_length=20_000, pattern="^[A-Za-z0-9_-]+$")] | None
# Bounds of pydantic refuse text that stands for bytes that are not UTF-8, which ids may have.
ImageId = Annotated[str, AfterValidator(_short_id), WithJsonSchema({"type": "string", "maxLength": _ID_CHARACTERS})]
SomePrefix = Annotated[
    str,
    AfterValidator(_short_id),
    AfterValidator(_some_text),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": _ID_CHARACTERS}),
]
