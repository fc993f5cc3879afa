"""How an endpoint is declared: once, on the method that answers. What is made of the declarations stands beside it."""

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel

from imgserve.access.keys import Scope
from imgserve.errors import ImgserveError

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

Model = type[BaseModel]

JSON = "application/json"
_ATTRIBUTE = "__endpoint__"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
IMAGE_ID = "image_id"
"""The piece of a path that may hold slashes, as they are or as %2F; always the last, since it may end with anything."""
_GIVEN = {"query", "body", "call"}
"""Parameters of a method that are no pieces of the path."""


@dataclass(frozen=True, slots=True)
class Body:
    """A kind of body that a method reads by itself, from `call`; for the document alone."""

    media_type: str
    schema: Model | Mapping[str, Any]
    """A model, or a JSON Schema as it stands."""
    example: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A kind of answer, for the document alone."""

    description: str
    model: Model | None = None
    """Of JSON; for anything else the media types say enough."""
    media_types: Sequence[str] = (JSON,)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Names and what they tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation of the API."""

    method: str
    path: str
    """With `{image_id}`, which may hold slashes and is the last piece, and others such as `{item}`, which may not."""
    scope: Scope
    tag: str
    summary: str
    description: str
    name: str
    """Unique; the operation id."""
    query: Model | None = None
    body: Model | None = None
    bodies: Sequence[Body] = ()
    answers: Mapping[int, Answer] = field(default_factory=dict, hash=False)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Headers of the request that it heeds, and what they do."""
    errors: Sequence[type[ImgserveError]] = ()
    example: Any = None
    """Of the JSON body."""
    call: Callable[..., Awaitable[Any]]
    takes_call: bool = False

    @property
    def pieces(self) -> list[str]:
        """Name the pieces of the path."""
        return _PLACEHOLDER.findall(self.path)

    @property
    def streams(self) -> bool:
        """Tell whether the method reads the body itself."""
        return bool(self.bodies)


def endpoint(
    method: str,
    path: str,
    *,
    scope: Scope,
    summary: str,
    tag: str = "images",
    errors: Iterable[type[ImgserveError]] = (),
    status: int = 200,
    answer: Model | None = None,
    answers: Mapping[int, Answer] | None = None,
    bodies: Sequence[Body] = (),
    headers: Mapping[str, str] | None = None,
    example: Any = None,
) -> Callable[[F], F]:
    """Declare the endpoint that an async method answers.

    Its parameters say what it takes: `query` and `body`, each with a model that is checked before; `call`, for the
    request itself and the caller; any other is a piece of the path. It returns a model, a `Reply`, or a response of
    its own. The docstring is the description, up to `Raises:`.

    Args:
        method: of HTTP; a GET answers HEAD too.
        path: the address, with pieces in braces.
        scope: what the caller's key must allow.
        summary: a few words.
        tag: the group in the document.
        errors: what it can raise, beside what every endpoint can.
        status: of the answer that `answer` or the return annotation describes.
        answer: model of the answer where the annotation is none.
        answers: every kind of answer, where there is more to say.
        bodies: kinds of body that the method reads itself.
        headers: of the request, that it heeds.
        example: of the JSON body.
    """

    def declare(function: F) -> F:
        hints = typing.get_type_hints(function)
        names = list(inspect.signature(function).parameters)[1:]
        pieces = _PLACEHOLDER.findall(path)
        if {name for name in names if name not in _GIVEN} != set(pieces):
            raise TypeError(f"{function.__qualname__}: expected parameters for {pieces}, but it has {names}")
        if IMAGE_ID in pieces and not path.endswith(f"/{{{IMAGE_ID}}}"):
            raise TypeError(f"{function.__qualname__}: expected nothing after the image id, but the path is {path}")
        declared = Endpoint(
            method=method,
            path=path,
            scope=scope,
            tag=tag,
            summary=summary,
            description=_description(function),
            name=f"{function.__qualname__.partition('.')[0].lower()}_{function.__name__}",
            query=hints.get("query"),
            body=hints.get("body"),
            bodies=tuple(bodies),
            answers=answers or {status: _answer(status, answer or hints.get("return"))},
            headers=dict(headers or {}),
            errors=tuple(errors),
            example=example,
            call=function,
            takes_call="call" in names,
        )
        setattr(function, _ATTRIBUTE, declared)
        return function

    return declare


def endpoints_of(part: object) -> list[Endpoint]:
    """List what an object answers, bound to it, in order of declaration."""
    declared = [(name, getattr(method, _ATTRIBUTE, None)) for name, method in vars(type(part)).items()]
    return [replace(one, call=getattr(part, name)) for name, one in declared if one is not None]


def _answer(status: int, model: Any) -> Answer:
    known = model if isinstance(model, type) and issubclass(model, BaseModel) else None
    told = inspect.cleandoc(known.__doc__) if known is not None and known.__doc__ else HTTPStatus(status).phrase
    return Answer(told, known)


def _description(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) or ""
    return re.split(r"\n\s*(?:Raises|Args):\n", text)[0].strip()
