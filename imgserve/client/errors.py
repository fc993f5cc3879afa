"""Errors of calls: from an error response to the error that the server raised, and those that only a client meets."""

import contextlib
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from imgserve.errors import ImgserveError, every_error, rebuilt
from imgserve.http.headers import retry_after_seconds

_KINDS = {kind.code: kind for kind in every_error()}
_REDIRECTS = range(300, 400)
_STANDARD = frozenset({"type", "title", "status", "detail", "instance", "code"})
"""Members of every problem document, which the error itself has as attributes."""


class ServerUnreachable(ImgserveError, status=503):
    """The server cannot be reached."""

    code = "server_unreachable"


class AnswerNotUnderstood(ImgserveError, status=502):
    """The response is not one of imgserve, or of a version that this client does not know."""

    code = "answer_not_understood"


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> ImgserveError:
    """Return the error that the server raised; for an unknown kind, one with its status and code."""
    retry_after = retry_after_seconds(headers.get("retry-after", ""))
    with contextlib.suppress(ValueError):
        document = json.loads(content)
        if isinstance(document, dict):
            return problem_error({"status": status, **document}, retry_after)
    # A proxy in between may respond with anything.
    if status in _REDIRECTS:
        target = headers.get("location", "nowhere")
        detail = f"The server redirects to {target}, which is not followed: use that address."
    else:
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        detail = f"The server answered {status} {phrase}".rstrip() + " without a reason."
    return problem_error({"status": status, "detail": detail}, retry_after)


def problem_error(document: Mapping[str, Any], retry_after: int | None = None) -> ImgserveError:
    """Return the error of a problem document, which may be one of the results of many."""
    status, code, detail = document.get("status"), document.get("code"), str(document.get("detail") or "")
    members = {name: value for name, value in document.items() if name not in _STANDARD}
    kind = _KINDS.get(code) if isinstance(code, str) else None
    if kind is not None:
        # A document without the members of its kind becomes an error of no known kind.
        with contextlib.suppress(ValueError):
            return rebuilt(kind, detail or (kind.__doc__ or ""), retry_after, members)
    number = status if isinstance(status, int) else ImgserveError.status
    error = ImgserveError(detail or f"The server answered {number}.", retry_after=retry_after, members=members)
    error.status, error.code = number, str(code or "unknown")
    return error
