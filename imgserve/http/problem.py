"""Errors as application/problem+json (RFC 9457)."""

import json
from collections.abc import Sequence
from urllib.parse import quote

from imgserve.errors import ImgserveError, NotFound, Unauthorized
from imgserve.http.headers import RawHeaders

_URI_CHARACTERS = "/:@!$&'()*+,;=~-._%"


def problem(
    error: ImgserveError, *, instance: str, request_id: str, not_found_max_age: int = 10
) -> tuple[int, RawHeaders, bytes]:
    """Return status, headers and body of an error; `instance` is the path of the request without its query."""
    members = problem_members(error, instance=instance, request_id=request_id)
    # Lone surrogates are no UTF-8.
    body = json.dumps(members, ensure_ascii=False, default=str).encode("utf-8", "replace")
    # A 404 is cached for a moment, so that a missing picture on a busy page costs little.
    brief = isinstance(error, NotFound) and not_found_max_age > 0
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"max-age=%d" % not_found_max_age if brief else b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *_special_headers(error),
    ]
    return error.status, headers, body


def problem_members(error: ImgserveError, *, instance: str, request_id: str) -> dict[str, object]:
    """Return the members of a problem, for a response that contains several."""
    return {
        **error.members,
        "type": f"/docs/errors#{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.detail,
        "instance": quote(instance.encode("utf-8", "backslashreplace"), safe=_URI_CHARACTERS),
        "code": error.code,
        "request_id": request_id,
    }


def _special_headers(error: ImgserveError) -> RawHeaders:
    headers: RawHeaders = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    allow = error.members.get("allow")
    if isinstance(allow, Sequence):
        methods = allow if isinstance(allow, str) else ", ".join(map(str, allow))
        headers.append((b"allow", methods.encode("ascii")))
    if error.status == 416:  # noqa: PLR2004  the status is the name
        headers.append((b"content-range", f"bytes */{error.members.get('size', '*')}".encode()))
    return headers
