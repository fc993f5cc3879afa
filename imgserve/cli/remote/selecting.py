"""Options that say which images are meant, and what is said of an image."""

import functools
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import click

from imgserve.client.api import Filters, FocalPoint

Command = Callable[..., Any]


class FocalPointText(click.ParamType[FocalPoint]):
    """Two fractions of the upright image, `x,y`."""

    name = "x,y"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> FocalPoint:
        """Read it."""
        try:
            x, y = map(float, str(value).split(","))
        except ValueError:
            self.fail(f"expected two fractions such as 0.4,0.3, but received {value!r}", param, ctx)
        return x, y


class JsonText(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Read it."""
        try:
            read = json.loads(value)
        except ValueError:
            read = None
        if not isinstance(read, dict):
            self.fail(f"expected a JSON object, but received {value!r}", param, ctx)
        return read


_WHOLE = {"min_bytes": 0, "max_bytes": 0, "min_width": 1, "max_width": 1, "min_height": 1, "max_height": 1}
_TIMES = ("created_from", "created_before", "changed_from", "changed_before")
_FILTERS = {
    "prefix": click.option("--prefix", help="Whose ids begin so."),
    "q": click.option("--text", "q", help="With these words in title, alt, description, tags or id."),
    "tags": click.option("--tag", "tags", multiple=True, help="With this tag; again for further ones."),
    "formats": click.option("--format", "formats", multiple=True, help="Of this format, or one of several."),
    "origin": click.option("--origin", type=click.Choice(["upload", "watch", "import"]), help="That came so."),
    **{name: click.option(f"--{name.replace('_', '-')}", type=click.IntRange(least)) for name, least in _WHOLE.items()},
    **{name: click.option(f"--{name.replace('_', '-')}", type=click.DateTime(), help="Local time.") for name in _TIMES},
}
_DETAILS = {
    "title": click.option("--title"),
    "alt": click.option("--alt", help="What stands for the picture where it is not seen."),
    "description": click.option("--description"),
    "tags": click.option("--tag", "tags", multiple=True, help="Again for further ones."),
    "metadata": click.option("--metadata", type=JsonText(), help="A JSON object."),
    "focal_point": click.option("--focal-point", type=FocalPointText(), help="What crops keep, such as 0.4,0.3."),
}


def filter_options(command: Command) -> Command:
    """Give a command options for filters, as one argument `filters`."""
    return _collected(command, "filters", _FILTERS)


def detail_options(command: Command) -> Command:
    """Give a command options for what is said of an image, as one argument `details`."""
    return _collected(command, "details", _DETAILS)


def _collected(command: Command, name: str, options: Mapping[str, Callable[[Command], Command]]) -> Command:
    @functools.wraps(command)
    def collecting(*arguments: Any, **named: Any) -> Any:
        given = {option: _plain(named.pop(option)) for option in options}
        chosen = {option: value for option, value in given.items() if value is not None and value != ()}
        return command(*arguments, **{**named, name: chosen})

    decorated: Command = collecting
    for option in reversed(list(options.values())):
        decorated = option(decorated)
    return decorated


def _plain(value: Any) -> Any:
    return value.astimezone() if isinstance(value, datetime) else value


def meant(ids: tuple[str, ...], filters: Filters, *, every: str = '--prefix ""') -> dict[str, Any]:
    """Tell which images are meant, as arguments of the client.

    Raises:
        UsageError: neither ids nor filters are given, or both; `every` is what means all images.
    """
    if not ids and not filters:
        raise click.UsageError(f"which images? Give ids, or filters such as --prefix; for all of them {every}")
    if ids and filters:
        raise click.UsageError("give either image ids or filters")
    return {"ids": ids or None, **filters}
