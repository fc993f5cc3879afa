"""The decorator that declares an endpoint: method, path, models and documentation."""

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from imgserve.access.keys import Caller, Scope
from imgserve.errors import ImgserveError

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

Model = type[BaseModel]

JSON = "application/json"
_ATTRIBUTE = "__endpoint__"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
IMAGE_ID = "image_id"
"""The path parameter that may contain slashes, plain or as %2F; always the last, since an id may have any end."""
_NOT_IN_PATH = {"query", "body", "call"}


@dataclass(frozen=True, slots=True)
class Call:
    """An authorized request, for endpoints that read it themselves."""

    request: Request
    caller: Caller


@dataclass(frozen=True, slots=True)
class Body:
    """A type of body that an endpoint reads itself, from `call`; only for the documentation."""

    media_type: str
    schema: Model | Mapping[str, Any]
    """A model or a JSON Schema."""
    example: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; only for the documentation."""

    description: str
    model: Model | None = None
    """The model of a JSON response."""
    media_types: Sequence[str] = (JSON,)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Descriptions by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation of the API."""

    method: str
    path: str
    """With parameters such as `{item}`; only `{image_id}` matches slashes."""
    scope: Scope
    tag: str
    summary: str
    description: str
    name: str
    """The unique operation id."""
    query: Model | None = None
    body: Model | None = None
    bodies: Sequence[Body] = ()
    answers: Mapping[int, Answer] = field(default_factory=dict, hash=False)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Descriptions of the request headers that it uses."""
    errors: Sequence[type[ImgserveError]] = ()
    example: Any = None
    """An example of the JSON body."""
    call: Callable[..., Awaitable[Any]]
    takes_call: bool = False

    @property
    def path_parameters(self) -> list[str]:
        """The names of the path parameters."""
        return _PLACEHOLDER.findall(self.path)

    @property
    def streams(self) -> bool:
        """Whether the endpoint reads the body itself."""
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
    """Declare an async method as an endpoint.

    The method's parameters are the input: `query` and `body` are validated models, `call` is the request with its
    caller, and all others are path parameters. It returns a model, a `Reply` or a `Response`. Its docstring up to
    `Raises:` is the description.

    Args:
        method: HTTP method; GET includes HEAD.
        path: the path, with parameters in braces.
        scope: the scope that the caller's key needs.
        summary: a few words.
        tag: the group in the documentation.
        errors: errors of this endpoint, in addition to those of all endpoints.
        status: the status of the only response.
        answer: the model of the only response, if the return annotation is not a model.
        answers: all responses by status, if there are several or they have headers.
        bodies: types of body that the method reads itself.
        headers: request headers that it uses.
        example: an example of the JSON body.
    """

    def declare(function: F) -> F:
        hints = typing.get_type_hints(function)
        names = list(inspect.signature(function).parameters)[1:]
        pieces = _PLACEHOLDER.findall(path)
        if {name for name in names if name not in _NOT_IN_PATH} != set(pieces):
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
    """Return the endpoints of an object, bound to it, in the order of declaration."""
    declared = [(name, getattr(method, _ATTRIBUTE, None)) for name, method in vars(type(part)).items()]
    return [replace(one, call=getattr(part, name)) for name, one in declared if one is not None]


def _answer(status: int, model: Any) -> Answer:
    known = model if isinstance(model, type) and issubclass(model, BaseModel) else None
    described = known is not None and known.__doc__
    return Answer(inspect.cleandoc(described) if described else HTTPStatus(status).phrase, known)


def _description(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) or ""
    return re.split(r"\n\s*(?:Raises|Args):\n", text)[0].strip()
