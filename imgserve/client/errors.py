"""Errors of calls: from an error response to the error that the server raised, and those that only a client meets."""

import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from imgserve.errors import ImgserveError, every_error, rebuilt

_KINDS = {kind.code: kind for kind in every_error()}
_REDIRECTS = range(300, 400)
_STANDARD = frozenset({"type", "title", "status", "detail", "instance", "code"})
"""Members of every problem document, which the error itself has as attributes."""


class ServerUnreachable(ImgserveError):
    """The server cannot be reached."""

    status = 503
    code = "server_unreachable"


class AnswerNotUnderstood(ImgserveError):
    """The response is not one of imgserve, or of a version that this client does not know."""

    status = 502
    code = "answer_not_understood"


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> ImgserveError:
    """Return the error that the server raised; for an unknown kind, one with its status and code."""
    retry_after = retry_after_seconds(headers.get("retry-after", ""))
    document = _document(content)
    if document is None:
        return _unknown(status, "unknown", _sentence(status, headers), retry_after, {})
    return problem_error({"status": status, **document}, retry_after)


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
    return _unknown(number, str(code or "unknown"), detail or f"The server answered {number}.", retry_after, members)


def retry_after_seconds(header: str, now: datetime | None = None) -> int | None:
    """Return the seconds of a Retry-After header, which is a number or a date; None if it is neither."""
    if header.strip().isdigit():
        return int(header)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0, round((aware - (now or datetime.now(UTC))).total_seconds()))


def _unknown(
    status: int, code: str, detail: str, retry_after: int | None, members: Mapping[str, object]
) -> ImgserveError:
    error = ImgserveError(detail, retry_after=retry_after, members=members)
    error.status, error.code = status, code
    return error


def _document(content: bytes) -> dict[str, Any] | None:
    """Return a problem document, or None: a proxy in between may respond with anything."""
    try:
        document = json.loads(content)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _sentence(status: int, headers: Mapping[str, str]) -> str:
    if status in _REDIRECTS:
        target = headers.get("location", "nowhere")
        return f"The server redirects to {target}, which is not followed: use that address."
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    return f"The server answered {status} {phrase}".rstrip() + " without a reason."
