"""The decorator that declares an endpoint: method, path, models and documentation."""

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from imgserve.access.keys import Caller, Scope
from imgserve.errors import ImgserveError

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

Model = type[BaseModel]

JSON = "application/json"
IMAGE_ID = "image_id"
"""The path parameter that may contain slashes, plain or as %2F; always the last, since an id may have any end."""
_ATTRIBUTE = "__endpoint__"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_NOT_IN_PATH = {"self", "query", "body", "call"}


@dataclass(frozen=True, slots=True)
class Call:
    """An authorized request, for endpoints that read it themselves."""

    request: Request
    caller: Caller

    @property
    def address(self) -> str:
        """Return from where it comes; empty for a Unix socket."""
        return self.request.client.host if self.request.client else ""


@dataclass(frozen=True, slots=True)
class Body:
    """A type of body that an endpoint reads itself; only for the documentation."""

    media_type: str
    schema: Model | Mapping[str, Any]
    """A model or a JSON Schema."""
    example: Any = None
    file: Mapping[str, Any] | None = None
    """The JSON Schema of the file of a form, whose other fields are those of the model."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; only for the documentation."""

    description: str
    model: Model | None = None
    """The model of a JSON response."""
    media_types: Sequence[str] = (JSON,)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Descriptions by name."""


@dataclass(frozen=True, slots=True)
class endpoint:  # noqa: N801  a decorator
    """Declares an async method as an endpoint.

    The method's parameters are the input: `query` and `body` are validated models, `call` is the request with its
    caller, and all others are path parameters. It returns a model, a `Reply` or a `Response`. Its docstring up to
    `Raises:` is the description.
    """

    method: str
    """HTTP method; GET includes HEAD."""
    path: str
    """With parameters such as `{item}`; only `{image_id}` matches slashes."""
    scope: Scope
    """The scope that the caller's key needs."""
    summary: str
    """A few words."""
    _: KW_ONLY
    tag: str = "images"
    """The group in the documentation."""
    limited: bool | None = None
    """Whether a key for some images may call it, whose limits the method regards.

    By default it may if there is an image id in the path, or if the query or body can be limited.
    """
    secret: bool = False
    """Whether the response is shown once, and so never stored to be repeated."""
    status: int = 200
    """The status of the only response."""
    answers: Mapping[int, Answer] = field(default_factory=dict, hash=False)
    """Responses by status; by default the only one, with the model that the method returns."""
    bodies: Sequence[Body] = ()
    """Types of body that the method reads itself."""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Descriptions of the request headers that it uses."""
    errors: Sequence[type[ImgserveError]] = ()
    """Errors in addition to those of all endpoints."""
    example: Any = None
    """An example of the JSON body."""

    def __call__(self, function: F) -> F:
        """Declare a method as the endpoint."""
        hints, expected = typing.get_type_hints(function), _PLACEHOLDER.findall(self.path)
        found = [name for name in inspect.signature(function).parameters if name not in _NOT_IN_PATH]
        if set(found) != set(expected):
            raise TypeError(f"{function.__qualname__}: expected path parameters {expected}, but it has {found}")
        if IMAGE_ID in expected and not self.path.endswith(f"/{{{IMAGE_ID}}}"):
            raise TypeError(f"{function.__qualname__}: expected nothing after the image id in {self.path}")
        values: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        values["answers"] = self.answers or {self.status: _answer(self.status, hints.get("return"))}
        values |= {"query": hints.get("query"), "body": hints.get("body"), "takes_call": "call" in hints}
        setattr(function, _ATTRIBUTE, Endpoint(**values, call=function))
        return function


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(endpoint):
    """A declaration with its method, and what the signature of the method declares."""

    call: Callable[..., Awaitable[Any]]
    query: Model | None
    body: Model | None
    takes_call: bool

    @property
    def repeatable(self) -> bool:
        """Whether a request with an `Idempotency-Key` is done once, and its response stored."""
        return self.method == "POST" and not self.secret

    @property
    def name(self) -> str:
        """The unique operation id."""
        return f"{self.call.__qualname__.partition('.')[0].lower()}_{self.call.__name__}"

    @property
    def description(self) -> str:
        """The docstring of the method, without its errors."""
        return re.split(r"\n\s*(?:Raises|Args):\n", inspect.getdoc(self.call) or "")[0].strip()

    @property
    def path_parameters(self) -> list[str]:
        """The names of the path parameters."""
        return _PLACEHOLDER.findall(self.path)


def endpoints_of(part: object) -> list[Endpoint]:
    """Return the endpoints of an object, bound to it, in the order of declaration."""
    declared = [(name, getattr(method, _ATTRIBUTE, None)) for name, method in vars(type(part)).items()]
    return [replace(one, call=getattr(part, name)) for name, one in declared if one is not None]


def _answer(status: int, model: Any) -> Answer:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return Answer(inspect.getdoc(model) or "", model)
    return Answer(HTTPStatus(status).phrase)
