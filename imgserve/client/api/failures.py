"""From an answer that tells of an error to the error itself, as the server raised it. Pure."""

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
"""Members that every problem has, told by the error itself."""


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> ImgserveError:
    """Make the error that the server raised; of an unknown kind, one with its status and code."""
    retry_after = seconds_of(headers.get("retry-after", ""))
    document = _document(content)
    if document is None:
        return _unknown(status, "unknown", _sentence(status, headers), retry_after, {})
    return problem_error({"status": status, **document}, retry_after)


def problem_error(document: Mapping[str, Any], retry_after: int | None = None) -> ImgserveError:
    """Make the error of a problem document, which may stand among the results of many."""
    status, code, detail = document.get("status"), document.get("code"), str(document.get("detail") or "")
    members = {name: value for name, value in document.items() if name not in _STANDARD}
    kind = _KINDS.get(code) if isinstance(code, str) else None
    if kind is not None:
        # Where it lacks what such an error tells, it is told as it came.
        with contextlib.suppress(ValueError):
            return rebuilt(kind, detail or (kind.__doc__ or ""), retry_after, members)
    number = status if isinstance(status, int) else ImgserveError.status
    return _unknown(number, str(code or "unknown"), detail or f"The server answered {number}.", retry_after, members)


def seconds_of(retry_after: str, now: datetime | None = None) -> int | None:
    """Read a Retry-After, which is a number of seconds or a date."""
    if retry_after.strip().isdigit():
        return int(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
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
    """Read a problem document; whatever stands between may answer with anything."""
    try:
        document = json.loads(content)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _sentence(status: int, headers: Mapping[str, str]) -> str:
    if status in _REDIRECTS:
        return (
            f"The server redirects to {headers.get('location', 'nowhere')}, which is not followed: give that address."
        )
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    return f"The server answered {status} {phrase}".rstrip() + " without a reason."
