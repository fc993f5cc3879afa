"""One request as a value, with the function that reads its response. Both clients send it."""

import functools
import json
import operator
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from imgserve.client.errors import AnswerNotUnderstood, error_of
from imgserve.client.files import FileBody

T = TypeVar("T")

Pairs = tuple[tuple[str, str], ...]

_REDIRECTS = 300
_MISSHAPEN = (KeyError, TypeError, ValueError, AttributeError)
"""What reading an unexpected document raises."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response that was read."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request; sent twice, it has the effect of one."""

    method: str
    path: str
    """Below the URL of the server, percent-encoded."""
    read: Callable[[Response], T] = field(repr=False)
    query: Pairs = ()
    document: Mapping[str, Any] | None = None
    """A JSON body."""
    file: FileBody | None = None
    """A body that is streamed."""
    headers: Mapping[str, str] = field(default_factory=dict)
    save_to: Path | None = None
    """The file that receives the body of a successful response."""
    public: bool = False
    """Sent without the key, as browsers do."""
    slow: bool = False
    """The server may work for long before it sends the next bytes."""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{query_text(self.query)}" if self.query else self.path

    @property
    def body(self) -> bytes | None:
        """The body, unless it is streamed."""
        return None if self.document is None else json.dumps(self.document).encode()

    @property
    def media_type(self) -> str | None:
        """Of the body."""
        if self.file is not None:
            return self.file.media_type
        return None if self.document is None else "application/json"

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent again."""
        return self.file is None or self.file.rereadable

    def result(self, response: Response) -> T:
        """Return what a response says.

        Raises:
            ImgserveError: the one that the server raised, or AnswerNotUnderstood.
        """
        if response.status >= _REDIRECTS:
            raise error_of(response.status, response.headers, response.content)
        return parsed(f"{self.method} {self.path}", self.read, response)


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """Calls that are sent one after the other, and whose results are added up."""

    calls: tuple[Call[T], ...]
    empty: T
    """The result of no calls."""

    def total(self, results: Iterable[T]) -> T:
        """Return the sum of the results of all calls."""
        return functools.reduce(operator.add, results, self.empty)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list."""

    items: tuple[T, ...]
    cursor: str | None
    """Where the next page begins; None after the last."""


@dataclass(frozen=True, slots=True)
class Pages(Generic[T]):
    """A list that is requested page by page."""

    page: Callable[[str | None], Call[Page[T]]]
    """Returns the call of the page at a cursor."""
    limit: int | None = None
    """The most items."""


@dataclass(frozen=True, slots=True)
class Lines(Generic[T]):
    """A response that is read line by line as it arrives."""

    call: Call[Response]
    read: Callable[[str], T] = field(repr=False)
    check: Callable[[T | None], None] = field(repr=False)
    """Raises ServerUnreachable if this cannot be the last line."""


def parsed(what: str, read: Callable[[Any], T], received: Any) -> T:
    """Return what `read` makes of something received.

    Raises:
        AnswerNotUnderstood: it has an unexpected shape.
    """
    try:
        return read(received)
    except _MISSHAPEN as error:
        raise AnswerNotUnderstood(f"{what}: the answer is not what imgserve answers") from error


def json_call(
    method: str,
    path: str,
    read: Callable[[Any], T],
    *,
    query: Pairs = (),
    document: Mapping[str, Any] | None = None,
    slow: bool = False,
) -> Call[T]:
    """Return a call whose response is JSON."""
    headers, from_json = once() if method == "POST" else {}, json_reader(read)
    return Call(method=method, path=path, read=from_json, query=query, document=document, headers=headers, slow=slow)


def json_reader(read: Callable[[Any], T]) -> Callable[[Response], T]:
    """Return a function that reads the JSON of a response."""
    return lambda response: read(json.loads(response.content) if response.content else None)


def once() -> dict[str, str]:
    """Return the header by which a server recognizes a POST that it has already executed."""
    return {"idempotency-key": str(uuid.uuid4())}


def query_text(pairs: Pairs) -> str:
    """Return a query string."""
    return urlencode(pairs, quote_via=quote, errors="surrogateescape")
