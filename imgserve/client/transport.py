"""What requests to one server have in common: its URL, key and timeouts, and when a failed call is repeated."""

import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

import imgserve
from imgserve.client.address import checked_base
from imgserve.client.call import Call, Response
from imgserve.client.errors import ServerUnreachable, error_of, retry_after_seconds
from imgserve.client.files import FileReader
from imgserve.errors import IdempotencyConflict

_KEY_VARIABLE = "IMGSERVE_KEY"
_CONNECT_SECONDS = 10.0
_SLOW_SECONDS = 600.0
"""Between two pieces of a response that takes long."""
_PRINTABLE = re.compile(r"[\x21-\x7e]*")
_BUSY = frozenset({429, 503})
_PERMANENT = (
    httpx2.ReadTimeout,
    httpx2.WriteTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.ProxyError,
)
"""Failures that another try would meet again, or only wait for again."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How long a client repeats calls to a server that is busy or cannot be reached."""

    seconds: float = 30.0
    """No wait begins that would end later than this after the first try; 0 for a single try."""
    first: float = 0.2
    """Seconds before the second try, unless the server says how long; doubled from try to try."""
    most: float = 5.0
    """The most seconds between two tries, unless the server says how long."""
    spread: float = 0.25
    """Each wait is longer by up to this share of it, so that many clients do not return at once."""


@dataclass(slots=True)
class Attempts:
    """The tries of one call."""

    retries: Retries
    call: Call[Any]
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _tries: int = 0

    def __post_init__(self) -> None:
        self._began = self.clock()

    def after_response(self, response: Response) -> float | None:
        """Return the seconds to wait before the next try, or None if this response is final."""
        busy = response.status in _BUSY or (self._tries > 0 and _is_in_progress(response))
        return self._wait(retry_after_seconds(response.headers.get("retry-after", ""))) if busy else None

    def after_failure(self, failure: ServerUnreachable, *, permanent: bool) -> float:
        """Return the seconds to wait before the next try.

        Raises:
            ServerUnreachable: there is no next try, for example because the failure is permanent.
        """
        wait = None if permanent else self._wait(None)
        if wait is None:
            raise failure
        return wait

    def _wait(self, retry_after: int | None) -> float | None:
        if not self.call.repeatable:
            return None
        own = min(self.retries.most, self.retries.first * 2**self._tries)
        wait = (own if retry_after is None else max(own, retry_after)) * (1 + random.uniform(0, self.retries.spread))
        self._tries += 1
        return wait if self.clock() - self._began + wait <= self.retries.seconds else None


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """How to reach one server."""

    base: str
    key: str = field(repr=False)
    timeout: float
    retries: Retries

    @classmethod
    def of(cls, base_url: str, key: str | None, timeout: float, retries: Retries | None) -> "TransportSettings":
        """Return checked settings; without a key, the one in the environment.

        Raises:
            ValueError: the URL is not that of a server, or the key is malformed.
        """
        if not re.match(r"https?://", base_url, re.IGNORECASE):
            raise ValueError(f"server: expected an address such as https://img.example.com, but received {base_url!r}")
        base = checked_base(base_url)
        try:
            httpx2.URL(base)
        except httpx2.InvalidURL as error:
            raise ValueError(f"server: {base_url!r} is not an address: {error}") from error
        chosen = os.environ.get(_KEY_VARIABLE, "") if key is None else key
        if not _PRINTABLE.fullmatch(chosen):
            raise ValueError("key: expected an API key, but received one with spaces or characters beyond ASCII")
        return cls(base, chosen, timeout, retries or Retries())

    def request(self, call: Call[Any], reader: FileReader | None) -> dict[str, Any]:
        """Return what httpx2 needs to build the request of a call, except a streamed body."""
        read = max(self.timeout, _SLOW_SECONDS) if call.slow else self.timeout
        timeout = httpx2.Timeout(self.timeout, read=read, connect=min(self.timeout, _CONNECT_SECONDS))
        headers = self._headers(call, reader)
        return {"method": call.method, "url": self.base + call.target, "headers": headers, "timeout": timeout}

    def after_failure(self, attempts: Attempts, failure: httpx2.RequestError) -> float:
        """Return the seconds to wait before the next try.

        Raises:
            ServerUnreachable: there is no next try.
        """
        return attempts.after_failure(self.unreachable(failure), permanent=isinstance(failure, _PERMANENT))

    def unreachable(self, failure: httpx2.RequestError) -> ServerUnreachable:
        """Return the error that says what happened to a connection."""
        error = ServerUnreachable(f"{self.base}: {_sentence(failure, self.timeout)}")
        error.__cause__ = failure
        return error

    def _headers(self, call: Call[Any], reader: FileReader | None) -> dict[str, str]:
        headers = {"user-agent": f"imgserve/{imgserve.__version__}", "accept": "*/*", **call.headers}
        if self.key and not call.public:
            headers["authorization"] = f"Bearer {self.key}"
        if call.media_type is not None:
            headers["content-type"] = call.media_type
        if reader is not None and reader.length is not None:
            headers["content-length"] = str(reader.length)
        return headers


def response_of(response: httpx2.Response) -> Response:
    """Return a response that httpx2 has read as a value."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, response.content)


def _is_in_progress(response: Response) -> bool:
    """Return whether the server still works on an earlier try, whose response was lost."""
    if response.status != IdempotencyConflict.status:
        return False
    return isinstance(error_of(response.status, response.headers, response.content), IdempotencyConflict)


def _sentence(failure: httpx2.RequestError, timeout: float) -> str:
    if isinstance(failure, httpx2.ConnectTimeout):
        return "no connection in time"
    if isinstance(failure, httpx2.TimeoutException):
        return f"no answer within {timeout:g} seconds"
    if isinstance(failure, httpx2.ConnectError):
        return f"cannot be reached: {_reason(failure)}"
    return f"the connection broke off: {str(failure) or type(failure).__name__}"


def _reason(failure: BaseException) -> str:
    """Return the message of the operating system, which asyncio puts at the end of a chain of causes."""
    root = failure
    while cause := root.__cause__ or root.__context__:
        root = cause
    return os.strerror(root.errno) if isinstance(root, ConnectionError) and root.errno else str(failure)
