"""Field types of the settings: sizes, durations, paths, addresses."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from imgserve.access.rates import EXPECTED, parse_rates
from imgserve.transform.quantities import SIZES, parse_size, quantity
from imgserve.validation import expected

_DURATIONS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}


def parse_duration(text: str) -> float:
    """Return the seconds of `30s`, `500ms`, `1.5h` or a plain number, or raise ValueError."""
    return float(quantity(text, _DURATIONS))


def parse_whole_duration(text: str) -> int:
    """Return a duration in whole seconds, or raise ValueError."""
    seconds = quantity(text, _DURATIONS)
    if seconds != int(seconds):
        raise ValueError(text)
    return int(seconds)


def write_size(size: float) -> str:
    """Return bytes as text in the largest unit that divides them."""
    fitting = [(factor, name) for name, factor in SIZES.items() if size and size % factor == 0]
    factor, name = max(fitting, default=(1, ""))
    return f"{int(size) // factor}{name}" if factor > 1 else str(int(size))


def write_duration(seconds: float) -> str:
    """Return seconds as text in the largest unit that divides them."""
    exact = Decimal(repr(seconds))
    for name, factor in reversed(_DURATIONS.items()):
        if exact and exact % factor == 0:
            return f"{exact / factor:f}".removesuffix(".0") + name
    return f"{exact:f}".removesuffix(".0") + "s"


@dataclass(frozen=True, slots=True)
class Unit:
    """How a kind of quantity is parsed, written and described; part of a field's annotation."""

    expected: str
    """The expected value, for error messages."""
    parse: Callable[[str], float]
    write: Callable[[float], str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Parse text before pydantic validates the number."""
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Allow text as well as a number."""
        number = handler(schema)
        return number if "anyOf" in number else {"anyOf": [number, {"type": "string"}]}

    def _read(self, value: object) -> object:
        if value is None:
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = format(Decimal(repr(value)), "f")
        try:
            return self.parse(str(value))
        except ValueError:
            raise expected(self.expected) from None


SIZE = Unit("a size such as 10GB", parse_size, write_size)
DURATION = Unit("a duration such as 30s", parse_duration, write_duration)
WHOLE_DURATION = Unit("a duration in whole seconds such as 30s", parse_whole_duration, write_duration)
Size = Annotated[int, SIZE]
"""Bytes."""
Duration = Annotated[float, DURATION]
"""Seconds."""
WholeDuration = Annotated[int, WHOLE_DURATION]
"""Whole seconds, as in HTTP headers."""
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.IGNORECASE)
_WEB_ORIGIN = re.compile(r"\*|https?://[^\s/?#@,\\]+", re.IGNORECASE)


class Section(BaseModel):
    """A section of the settings: frozen, without unknown names, with validated defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def detail(error: PydanticCustomError, *loc: str, received: object = None) -> InitErrorDetails:
    """Return an error at a place below the validated value, to be raised together with others."""
    return {"type": error, "loc": loc, "input": received}


def split_words(value: Any) -> Any:
    """Split text at commas, because environment variables cannot contain lists."""
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def expand(folder: Path) -> Path:
    """Replace `~` with the home folder."""
    try:
        return folder.expanduser()
    except RuntimeError:
        raise expected("a folder whose ~ can be resolved") from None


def _not_blank(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise expected("a folder")
    return value


def each(accepts: Callable[[str], object], description: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Return a validator of every word in a list."""

    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        if not all(accepts(value) for value in values):
            raise expected(description)
        return values

    return check


def is_network(text: str) -> bool:
    """Return whether the text is an IP address or a network such as 10.0.0.0/8."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_host_pattern(text: str) -> bool:
    """Return whether the text is a host name, `*.` and a host name, an IP address, or `*`, without a port."""
    address = text.removeprefix("[").removesuffix("]")
    return text == "*" or bool(_HOST.fullmatch(address)) or ("/" not in address and is_network(address))


def _listening_host(text: str) -> str:
    if not _is_host_pattern(text) or text.startswith(("*", "[")):
        raise expected("an IP address or a host name without a port, such as 127.0.0.1")
    return text


def _rates(text: str) -> str:
    try:
        parse_rates(text)
    except ValueError:
        raise expected(EXPECTED) from None
    return text


WORDS_SCHEMA = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}
Folder = Annotated[Path, BeforeValidator(_not_blank), AfterValidator(expand)]
"""A folder; `~` is the home folder, a relative path starts at the current folder."""
Words = Annotated[tuple[str, ...], BeforeValidator(split_words), WithJsonSchema(WORDS_SCHEMA)]
"""A list of words, or text with commas."""
_NUMBERS_SCHEMA = {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]}
Numbers = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65_535)], ...], BeforeValidator(split_words), WithJsonSchema(_NUMBERS_SCHEMA)
]
"""A list of lengths in pixels or ports, or text with commas."""
ListeningHost = Annotated[str, AfterValidator(_listening_host)]
"""The address on which a server listens."""
HostPatterns = Annotated[
    Words,
    AfterValidator(each(_is_host_pattern, 'host names without port, such as img.example.com, *.example.com or "*"')),
]
"""Host names that requests may use."""
WebOrigins = Annotated[
    Words, AfterValidator(each(_WEB_ORIGIN.fullmatch, 'web origins such as https://www.example.com, or "*"'))
]
"""Web origins, written like in the Origin header."""
Networks = Annotated[
    Words, AfterValidator(each(is_network, "IP addresses or networks such as 127.0.0.1 or 10.0.0.0/8"))
]
"""IP addresses and networks."""
Rates = Annotated[str, AfterValidator(_rates)]
"""Rate limits, or an empty text for none."""
