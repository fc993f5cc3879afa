"""One request as a value, with the function that reads its response. Both clients send it."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import httpx2

from imgserve.client.errors import AnswerNotUnderstood, error_of
from imgserve.client.files import FileBody
from imgserve.client.records import Picture

T = TypeVar("T")

Pairs = tuple[tuple[str, str], ...]
_REDIRECTS = 300
_MISSHAPEN = (KeyError, TypeError, ValueError, AttributeError)
"""What reading an unexpected document raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request; sent twice, it has the effect of one."""

    method: str
    path: str
    """Below the URL of the server, percent-encoded."""
    read: Callable[[httpx2.Response], T] = field(repr=False)
    query: Pairs = ()
    document: Mapping[str, Any] | None = None
    """A JSON body."""
    file: FileBody | None = None
    """A body that is streamed."""
    headers: Mapping[str, str] = field(default_factory=dict)
    public: bool = False
    """Sent without the key, as browsers do."""
    slow: bool = False
    """The server may work for long before it sends the next bytes."""
    idempotency_key: str = field(default_factory=lambda: str(uuid.uuid4()))
    """By which a server recognizes a POST that it has already executed."""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{query_text(self.query)}" if self.query else self.path

    @property
    def body(self) -> bytes | None:
        """The body, unless it is streamed."""
        return None if self.document is None else json.dumps(self.document).encode()

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers, with those of the body and of the method."""
        headers = dict(self.headers)
        if self.method == "POST":
            headers["idempotency-key"] = self.idempotency_key
        if self.file is not None:
            headers["content-type"] = self.file.media_type
        elif self.document is not None:
            headers["content-type"] = "application/json"
        return headers

    def result(self, response: httpx2.Response) -> T:
        """Return what a response says; raise the ImgserveError that the server raised, or AnswerNotUnderstood."""
        if response.status_code >= _REDIRECTS:
            raise error_of(response.status_code, response.headers, response.content)
        return parsed(f"{self.method} {self.path}", self.read, response)


def parsed(what: str, read: Callable[[Any], T], received: Any) -> T:
    """Return what `read` makes of something received; raise AnswerNotUnderstood if it has an unexpected shape."""
    try:
        return read(received)
    except _MISSHAPEN as error:
        raise AnswerNotUnderstood(f"{what}: the answer is not what imgserve answers") from error


def json_reader(read: Callable[[Any], T]) -> Callable[[httpx2.Response], T]:
    """Return a function that reads the JSON of a response."""
    return lambda response: read(json.loads(response.content) if response.content else None)


def read_picture(response: httpx2.Response) -> Picture:
    """Return the picture that a response carries."""
    media_type = response.headers["content-type"]
    if not media_type.startswith("image/"):
        raise ValueError(f"expected a picture, but received {media_type}")
    return Picture(response.content, media_type, response.headers.get("x-image-adjusted", ""))


def query_text(pairs: Pairs) -> str:
    """Return a query string."""
    return urlencode(pairs, quote_via=quote, errors="surrogateescape")
