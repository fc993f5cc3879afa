"""The connection to a running server, and the options that select and describe images."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar, get_type_hints

import click

from imgserve.cli.main import KEY_VARIABLE, SERVER_VARIABLE, Remote
from imgserve.cli.output import echo, echo_all, json_option
from imgserve.client.api import AsyncImgserve, Filters, FocalPoint, Imgserve, Retries
from imgserve.errors import ImageNotFound, Unauthorized

Command = Callable[..., Any]
T = TypeVar("T")
_RETRIES = Retries(report=lambda error, wait: echo(f"imgserve: {error.detail} Next try in {wait:.1f} s.", err=True))


@contextlib.contextmanager
def connected(remote: Remote) -> Iterator[Imgserve]:
    """Yield a client of the server; its errors become messages of the command line."""
    with command_line_errors(remote), Imgserve(_address(remote), key=remote.key, retries=_RETRIES) as client:
        yield client


def async_client(remote: Remote) -> AsyncImgserve:
    """Return an asynchronous client of the server."""
    return AsyncImgserve(_address(remote), key=remote.key, retries=_RETRIES)


def _address(remote: Remote) -> str:
    if remote.server:
        return remote.server
    command = click.get_current_context().info_name
    raise click.UsageError(
        f"this command needs a running server: imgserve {command} --server URL ..., or set {SERVER_VARIABLE}"
    )


@contextlib.contextmanager
def command_line_errors(remote: Remote) -> Iterator[None]:
    """Turn errors of the client into messages of the command line."""
    try:
        yield
    except Unauthorized as error:
        hint = "it rejected this one" if remote.key else f"pass it with --key or in {KEY_VARIABLE}"
        raise click.ClickException(f"the server requires a valid API key: {hint}") from error
    except ImageNotFound as error:
        image_id = click.get_current_context().params.get("image_id")
        raise click.ClickException(f"there is no image {image_id!r}" if image_id else error.detail) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def prints(
    line: Callable[[T], str], *, header: str = "", none: str = ""
) -> Callable[[Callable[..., Iterable[T]]], Command]:
    """Return a decorator that makes a command from a function: it connects, and prints what the function returns.

    The function receives the client and the options of the command, without --json. `line` writes one result for
    people; see `echo_all`.
    """

    def decorate(work: Callable[..., Iterable[T]]) -> Command:
        @json_option
        @click.pass_obj
        @functools.wraps(work)
        def command(remote: Remote, /, *, as_json: bool, **options: Any) -> None:
            with connected(remote) as client:
                echo_all(work(client, **options), line, as_json=as_json, header=header, none=none)

        return command

    return decorate


class FocalPointText(click.ParamType[FocalPoint]):
    """Two fractions of the upright image, `x,y`."""

    name = "x,y"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> FocalPoint:
        """Parse the text."""
        try:
            x, y = map(float, str(value).split(","))
        except ValueError:
            self.fail(f"expected two fractions such as 0.4,0.3, but received {value!r}", param, ctx)
        return x, y


class TimeText(click.ParamType[datetime]):
    """A date or a time; without a time zone, it is local time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse the text."""
        try:
            return datetime.fromisoformat(str(value)).astimezone()
        except ValueError:
            example = "2030-12-31 or 2030-12-31T18:00"
            self.fail(f"expected a date or time such as {example}, but received {value!r}", param, ctx)


class JsonText(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Parse the text."""
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            self.fail(f"expected a JSON object, but received {value!r}", param, ctx)
        return parsed


_DESCRIBED_FILTERS = {
    "prefix": click.option("--prefix", help="Image ids that start with this."),
    "q": click.option("--text", "q", help="Words in title, alt, description, tags or id."),
    "tags": click.option("--tag", "tags", multiple=True, help="Images with this tag; repeatable."),
    "formats": click.option("--format", "formats", multiple=True, help="Images of this format; repeatable."),
    "origin": click.option("--origin", type=click.Choice(["upload", "watch", "import"]), help="How they arrived."),
}


def _filter_option(name: str, kind: Any) -> Callable[[Command], Command]:
    """Return the option of a filter: bytes, pixels or a time by its type."""
    if name in _DESCRIBED_FILTERS:
        return _DESCRIBED_FILTERS[name]
    flag = f"--{name.replace('_', '-')}"
    if kind is datetime:
        return click.option(flag, type=TimeText(), help="Such as 2030-12-31 or 2030-12-31T18:00.")
    return click.option(flag, type=click.IntRange(0 if name.endswith("bytes") else 1))


_FILTERS = {name: _filter_option(name, kind) for name, kind in get_type_hints(Filters).items()}
_DETAILS = {
    "title": click.option("--title"),
    "alt": click.option("--alt", help="Text shown in place of the picture."),
    "description": click.option("--description"),
    "tags": click.option("--tag", "tags", multiple=True, help="Repeatable."),
    "metadata": click.option("--metadata", type=JsonText(), help="A JSON object."),
    "focal_point": click.option("--focal-point", type=FocalPointText(), help="Point that crops show: 0.4,0.3."),
}


def filter_options(command: Command) -> Command:
    """Add an option for each filter; the command receives them as `filters`."""
    return _collected(command, "filters", _FILTERS)


def detail_options(command: Command) -> Command:
    """Add an option for each editable field; the command receives them as `details`."""
    return _collected(command, "details", _DETAILS)


def _collected(command: Command, name: str, options: Mapping[str, Callable[[Command], Command]]) -> Command:
    @functools.wraps(command)
    def collect(*arguments: Any, **named: Any) -> Any:
        values = {option: named.pop(option) for option in options}
        selected = {option: value for option, value in values.items() if value is not None and value != ()}
        return command(*arguments, **{**named, name: selected})

    decorated: Command = collect
    for option in reversed(list(options.values())):
        decorated = option(decorated)
    return decorated


def selection(ids: tuple[str, ...], filters: Filters, *, every: str = '--prefix ""') -> dict[str, Any]:
    """Return the selected images as arguments of the client.

    Raises UsageError if neither ids nor filters are named, or both. `every` is the option that selects all images.
    """
    if not ids and not filters:
        raise click.UsageError(f"which images? Pass ids, or filters such as --prefix; {every} selects all")
    if ids and filters:
        raise click.UsageError("pass either image ids or filters")
    return {"ids": ids or None, **filters}
