"""How the parts of the catalog do their work to its end, whoever leaves meanwhile. No SQL here."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from imgserve.catalog.database import Database


class Part(Protocol):
    """What works on a database."""

    @property
    def database(self) -> Database:
        """The one it works on."""
        ...


P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=Part)


def finished(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Have a method run to its end; see `Database.finish`."""

    @wraps(method)
    async def run(part: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await part.database.finish(method(part, *args, **kwargs))

    return run
