"""One request as a value, with the reader of its answer. Both clients send it; nothing here knows how."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from imgserve.client.api.errors import AnswerNotUnderstood
from imgserve.client.api.failures import error_of
from imgserve.client.api.files import FileBody

T = TypeVar("T")

Pairs = tuple[tuple[str, str], ...]

IDEMPOTENCY_KEY = "idempotency-key"
_ERRORS = 400
_REDIRECTS = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    content: bytes = field(repr=False)

    @property
    def failed(self) -> bool:
        """Tell whether it is anything but what was asked for; a redirect is not followed."""
        return self.status >= _REDIRECTS

    def json(self) -> Any:
        """Read the content as JSON."""
        return json.loads(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request; sent twice, it has the effect of one."""

    method: str
    path: str
    """Below the address of the server, percent-encoded."""
    read: Callable[[Answer], T] = field(repr=False)
    query: Pairs = ()
    document: Mapping[str, Any] | None = None
    """A body of JSON."""
    file: FileBody | None = None
    """A body that is streamed."""
    headers: Mapping[str, str] = field(default_factory=dict)
    public: bool = False
    """Asked without the key, as anybody may."""
    slow: bool = False
    """The server may work for long before the next bytes come."""

    @property
    def target(self) -> str:
        """Path and query."""
        if not self.query:
            return self.path
        return f"{self.path}?{query_text(self.query)}"

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
        """Tell whether it can be sent again."""
        return self.file is None or self.file.rereadable

    def result(self, answer: Answer) -> T:
        """Read an answer.

        Raises:
            ImgserveError: the one that the server answered with, or AnswerNotUnderstood.
        """
        if answer.failed:
            raise error_of(answer.status, answer.headers, answer.content)
        try:
            return self.read(answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AnswerNotUnderstood(f"{self.method} {self.path}: the answer is not what imgserve answers") from error


def query_text(pairs: Pairs) -> str:
    """Write a query."""
    return urlencode(pairs, quote_via=quote, errors="surrogateescape")


def once() -> dict[str, str]:
    """Give the header by which a server knows a POST that it has answered before."""
    return {IDEMPOTENCY_KEY: str(uuid.uuid4())}


def got(path: str, read: Callable[[Any], T], query: Pairs = ()) -> Call[T]:
    """Ask for JSON."""
    return Call(method="GET", path=path, read=_from_json(read), query=query)


def posted(path: str, document: Mapping[str, Any] | None, read: Callable[[Any], T], *, slow: bool = False) -> Call[T]:
    """Send JSON; the server does it once, however often it is sent."""
    return Call(method="POST", path=path, read=_from_json(read), document=document, headers=once(), slow=slow)


def deleted(path: str, read: Callable[[Any], T]) -> Call[T]:
    """Delete."""
    return Call(method="DELETE", path=path, read=_from_json(read))


def _from_json(read: Callable[[Any], T]) -> Callable[[Answer], T]:
    return lambda answer: read(answer.json() if answer.content else None)
