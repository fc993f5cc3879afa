"""The output of commands: lines for people, JSON lines for programs, and progress on terminals."""

import base64
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from imgserve.client.api import Image, Point
from imgserve.errors import ImgserveError

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")

_NAMES = {"image_id": "id", "job_id": "id", "size": "bytes", "error": "problem"}
"""Fields with another name in the API."""
_IDENTITY = ("image_id", "version", "url")
"""Fields of an image that come first."""
_HEX = {"perceptual_hash": "016x"}
_ROUNDED = 999.5
"""What is written as 1000 without a fraction."""
_OFTEN = 0.1
"""Minimum seconds between two updates of the progress."""


def echo(text: str, *, err: bool = False) -> None:
    """Print a line; control characters are escaped, because terminals interpret them."""
    plain = "".join(
        character if character.isprintable() or "\udc80" <= character <= "\udcff" else repr(character)[1:-1]
        for character in text
    )
    click.echo(plain.encode("utf-8", "surrogateescape"), err=err)


def echo_all(items: Iterable[T], line: Callable[[T], str], *, as_json: bool, header: str = "", none: str = "") -> None:
    """Print each value as it arrives, for people below a header; without any, print `none` to standard error."""
    number = -1
    for number, item in enumerate(items):
        if as_json:
            click.echo(json_line(item))
            continue
        if header and not number:
            echo(header)
        for part in line(item).split("\n"):
            echo(part)
    if none and number < 0 and not as_json:
        echo(none, err=True)


def json_line(value: Any) -> str:
    """Return a value as JSON with the names of the API."""
    return json.dumps(_document(value))


IMAGE_HEADER = f"{'FORMAT':6} {'PIXELS':>11} {'SIZE':>9}  {'CHANGED':16}  ID"


def image_line(image: Image) -> str:
    """Return the line of an image in a list, below IMAGE_HEADER; the id comes last because its length varies."""
    extent = f"{image.width}x{image.height}"
    return f"{image.format:6} {extent:>11} {size_text(image.size):>9}  {time_text(image.changed)}  {image.image_id}"


def image_text(image: Image) -> str:
    """Return all fields of an image, one per line, without empty ones."""
    known = _document(image) | {"created": time_text(image.created), "changed": time_text(image.changed)}
    filled = {name: value for name, value in known.items() if value not in ("", None, [], {}, False)}
    for name, value in filled.items():
        if isinstance(value, (list, dict)):
            filled[name] = (
                ", ".join(map(str, value)) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)
            )
    width = max(map(len, filled))
    return "\n".join(f"{name:{width}}  {value}" for name, value in filled.items())


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in singular or plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def time_text(moment: datetime | None) -> str:
    """Return a time in the local time zone, to the minute."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment else "-"


def size_text(size: float) -> str:
    """Return a number of bytes with three digits, in a decimal unit as in the settings: 950 B, 8.21 KB, 10 GB."""
    units = iter(("B", "KB", "MB", "GB"))
    unit = next(units)
    while size >= _ROUNDED and unit != "TB":
        size, unit = size / 1000, next(units, "TB")
    return f"{size:.3g} {unit}" if size < _ROUNDED else f"{size:.0f} {unit}"


class Progress:
    """A progress line on standard error, if that is a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._written = 0
        self._next = 0.0

    def update(self, text: str) -> None:
        """Show a new state."""
        if self._shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + _OFTEN
            click.echo(f"\r{text:{self._written}}", err=True, nl=False)
            self._written = len(text)

    def clear(self) -> None:
        """Remove the line, so that others can be printed."""
        if self._written:
            click.echo(f"\r{'':{self._written}}\r", err=True, nl=False)
            self._written, self._next = 0, 0.0


def _document(value: Any, name: str = "") -> Any:  # noqa: PLR0911  one return for each type
    """Return a value as plain JSON types; `name` is that of its field."""
    if isinstance(value, ImgserveError):
        return {"status": value.status, "code": value.code, "detail": value.detail, **value.members}
    if isinstance(value, Exception):
        return {"detail": str(value)}
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        names = list(dict.fromkeys([*_IDENTITY, *names])) if isinstance(value, Image) else names
        fields = {name: getattr(value, name) for name in names}
        return {_NAMES.get(name, name): _document(item, name) for name, item in fields.items()}
    if isinstance(value, Point):
        return value._asdict()
    if isinstance(value, tuple):
        return [_document(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return format(value, _HEX[name]) if name in _HEX and value is not None else value
