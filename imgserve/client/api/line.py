"""What both senders share: where a server is and how requests to it look. Knows httpx2, sends nothing."""

import os
import re
from dataclasses import dataclass, field
from typing import Any

import httpx2

import imgserve
from imgserve.client.address import checked_base
from imgserve.client.api.call import Answer, Call
from imgserve.client.api.errors import ServerUnreachable
from imgserve.client.api.files import Reading
from imgserve.client.api.retrying import Retries, Trial

KEY_VARIABLE = "IMGSERVE_KEY"
"""Names the API key where none is given."""

_CONNECT = 10.0
"""Seconds; a server that is there takes a connection within far less."""
_SLOW = 600.0
"""Seconds between two pieces of an answer that is long in the making."""
_PRINTABLE = re.compile(r"[\x21-\x7e]*")
_LASTING = (
    httpx2.ReadTimeout,
    httpx2.WriteTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.ProxyError,
)
"""What a second try would meet as well, or would only wait for again."""


@dataclass(frozen=True, slots=True)
class Line:
    """The way to one server."""

    base: str
    key: str = field(repr=False)
    timeout: float
    retries: Retries

    def url(self, call: Call[Any]) -> str:
        """Give the address that a call goes to."""
        return self.base + call.target

    def headers(self, call: Call[Any], reading: Reading | None) -> dict[str, str]:
        """Give the headers of a call."""
        headers = {"user-agent": f"imgserve/{imgserve.__version__}", "accept": "*/*", **call.headers}
        if self.key and not call.public:
            headers["authorization"] = f"Bearer {self.key}"
        if call.media_type is not None:
            headers["content-type"] = call.media_type
        if reading is not None and reading.length is not None:
            headers["content-length"] = str(reading.length)
        return headers

    def waits(self, call: Call[Any]) -> httpx2.Timeout:
        """Give how long to wait for what."""
        read = max(self.timeout, _SLOW) if call.slow else self.timeout
        return httpx2.Timeout(self.timeout, read=read, connect=min(self.timeout, _CONNECT))

    def trial(self, call: Call[Any]) -> Trial:
        """Begin a call."""
        return Trial(self.retries, call)

    def after(self, trial: Trial, failure: httpx2.RequestError) -> float:
        """Tell how long to wait before the next try.

        Raises:
            ServerUnreachable: there is none.
        """
        return trial.after_failure(self.unreachable(failure), lasting=isinstance(failure, _LASTING))

    def unreachable(self, failure: httpx2.RequestError) -> ServerUnreachable:
        """Say what happened to a connection."""
        error = ServerUnreachable(f"{self.base}: {_sentence(failure, self.timeout)}")
        error.__cause__ = failure
        return error


def line(base_url: str, key: str | None, timeout: float, retries: Retries | None) -> Line:
    """Take what a client is given; a key that is not comes from the environment.

    Raises:
        ValueError: it is no address of a server, or no key.
    """
    if not re.match(r"https?://", base_url, re.IGNORECASE):
        raise ValueError(f"server: expected an address such as https://img.example.com, but received {base_url!r}")
    base = checked_base(base_url)
    try:
        httpx2.URL(base)
    except httpx2.InvalidURL as error:
        raise ValueError(f"server: {base_url!r} is no address: {error}") from error
    chosen = os.environ.get(KEY_VARIABLE, "") if key is None else key
    if not _PRINTABLE.fullmatch(chosen):
        raise ValueError("key: expected an API key, but received one with spaces or characters beyond ASCII")
    return Line(base, chosen, timeout, retries or Retries())


def answered(response: httpx2.Response) -> Answer:
    """Take an answer that was read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, response.content)


def _sentence(failure: httpx2.RequestError, timeout: float) -> str:
    if isinstance(failure, httpx2.ConnectTimeout):
        return "no connection in time"
    if isinstance(failure, httpx2.TimeoutException):
        return f"no answer within {timeout:g} seconds"
    if isinstance(failure, httpx2.ConnectError):
        return f"cannot be reached: {_reason(failure)}"
    return f"the connection broke off: {str(failure) or type(failure).__name__}"


def _reason(failure: BaseException) -> str:
    """Say what the system said, which with asyncio stands at the end of a chain of causes."""
    root = failure
    while cause := root.__cause__ or root.__context__:
        root = cause
    return os.strerror(root.errno) if isinstance(root, ConnectionError) and root.errno else str(failure)
