"""What every section is made of: the frozen base and the field types. Nothing about single settings."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""The name of a preset, in lower case."""
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.IGNORECASE)
_WEB_ORIGIN = re.compile(r"https?://[^\s/?#@,\\]+", re.IGNORECASE)


class Section(BaseModel):
    """One section of the settings: frozen, every name known, defaults checked like any other value."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)


def mistake(expected: str) -> PydanticCustomError:
    """Make the error that says what was expected instead of the value."""
    return PydanticCustomError("expected", "{expected}", {"expected": expected})


def stated(sentence: str) -> PydanticCustomError:
    """Make the error that says all that is to say."""
    return PydanticCustomError("stated", "{sentence}", {"sentence": sentence})


def split_words(value: Any) -> Any:
    """Let text stand for a list, separated by commas, as environment variables have no other way."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def expand(folder: Path) -> Path:
    """Put the home folder in the place of `~`."""
    try:
        return folder.expanduser()
    except RuntimeError:
        raise mistake("a folder whose ~ can be resolved") from None


def _not_blank(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise mistake("a folder")
    return value


def _each(accepts: Callable[[str], bool], expected: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        if not all(accepts(value) for value in values):
            raise mistake(expected)
        return values

    return check


def is_address(text: str) -> bool:
    """Tell whether this is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_network(text: str) -> bool:
    """Tell whether this is an IP address or a network such as 10.0.0.0/8."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def is_host(text: str) -> bool:
    """Tell whether this is a host name, `*.` and a host name, or an IP address; never with a port."""
    return is_address(text) or bool(_HOST.fullmatch(text))


def _is_host_pattern(text: str) -> bool:
    return text == "*" or is_host(text.removeprefix("[").removesuffix("]"))


def _is_web_origin(text: str) -> bool:
    return text == "*" or bool(_WEB_ORIGIN.fullmatch(text))


def _is_listening_host(text: str) -> str:
    if not is_host(text) or text.startswith("*"):
        raise mistake("an IP address or a host name without a port, such as 127.0.0.1")
    return text


_WORDS_SCHEMA = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}

Folder = Annotated[Path, BeforeValidator(_not_blank), AfterValidator(expand)]
"""A folder; `~` is the home folder, a relative one starts at the current folder."""
Words = Annotated[tuple[str, ...], BeforeValidator(split_words), WithJsonSchema(_WORDS_SCHEMA)]
"""A list of words, or text with commas."""
_SIDE_SCHEMA = {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]}
Sides = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65_535)], ...], BeforeValidator(split_words), WithJsonSchema(_SIDE_SCHEMA)
]
"""A list of lengths in pixels, or text with commas."""
ListeningHost = Annotated[str, AfterValidator(_is_listening_host)]
"""Where a server listens."""
HostPatterns = Annotated[
    Words,
    AfterValidator(_each(_is_host_pattern, 'host names without port, such as img.example.com, *.example.com or "*"')),
]
"""Host names a request may name."""
WebOrigins = Annotated[
    Words, AfterValidator(_each(_is_web_origin, 'web origins such as https://www.example.com, or "*"'))
]
"""Web origins as browsers send them."""
Networks = Annotated[
    Words, AfterValidator(_each(is_network, "IP addresses or networks such as 127.0.0.1 or 10.0.0.0/8"))
]
"""IP addresses and networks."""
