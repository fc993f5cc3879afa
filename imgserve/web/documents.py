"""Documents of the server itself: conditional responses, and who may read them."""

import functools
import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from imgserve.access.access import Access
from imgserve.access.keys import Scope
from imgserve.errors import NotFound, PreconditionFailed, Unauthorized
from imgserve.http.conditional import evaluate, match_holds, request_conditions
from imgserve.http.headers import api_key
from imgserve.web.middleware import KEY, RequestRecord
from imgserve.web.operations import is_local
from imgserve.web.respond import date_of

Readers = Literal["everyone", "key", "loopback", "off"]
"""Who may read a page: everyone, holders of an API key, direct requests of this machine, or nobody."""
Page = Callable[[Request], Awaitable[Response]]

HTML = "text/html"
_CODE = re.compile(r"`([^`]+)`")
_WORD_END = re.compile(r"(?<=\S[/_])(?=.)")
_SAFETY = {
    "content-security-policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
}
_COMPRESSIBLE = ("text/", "application/json", "application/javascript", "image/svg+xml")
_WORTHWHILE = 500
"""Bytes; less fits into one packet anyway."""
_GZIP = re.compile(r"(?:^|[,\s])gzip\s*(?:,|$|;\s*q=(?!0(?:\.0*)?\s*(?:,|$)))", re.IGNORECASE)
"""An Accept-Encoding that contains gzip with a weight above 0 (RFC 9110, section 12.5.3)."""


@functools.lru_cache(maxsize=64)
def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def document(
    request: Request,
    content: bytes,
    media_type: str,
    *,
    cache: str = "no-cache",
    modified_ns: int | None = None,
    scripts: bool = False,
) -> Response:
    """Return a response with a document, or a 304 if the client has it; `modified_ns` is the time of its file.

    `scripts` allows the document to load scripts of this server, which may call it.

    Text is compressed for clients that accept gzip. It must contain no secret: its compressed length would tell about
    the secret to somebody who can add text to the document.

    Raises PreconditionFailed if the client expects another document.
    """
    headers = {"cache-control": cache, **_SAFETY}
    if scripts:
        policy = headers["content-security-policy"].replace("img-src 'self'", "img-src 'self' blob:")
        headers["content-security-policy"] = f"{policy}; script-src 'self'; connect-src 'self'"
    if media_type.startswith(_COMPRESSIBLE) and len(content) >= _WORTHWHILE:
        headers["vary"] = "Accept-Encoding"
        if _GZIP.search(request.headers.get("accept-encoding", "")):
            content, headers["content-encoding"] = _compressed(content), "gzip"
    key = hashlib.sha256(content).hexdigest()[:32]
    conditions, modified = request_conditions(request.scope["headers"]), None
    headers["etag"] = f'"{key}"'
    if modified_ns is not None:
        modified = min(modified_ns // 1_000_000_000, date_of(request.scope))
        headers["last-modified"] = formatdate(modified, usegmt=True)
    verdict = evaluate(conditions, key=key, last_modified=modified)
    if verdict == "precondition_failed" or not match_holds(conditions, headers["etag"]):
        raise PreconditionFailed
    if verdict == "not_modified":
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)


def address(request: Request) -> str:
    """Return the address of this server as the client wrote it, without a slash at the end."""
    return str(request.base_url).rstrip("/")


def page_templates(static: Path) -> Environment:
    """Return the templates of pages; all that they insert is escaped."""
    environment = Environment(
        loader=FileSystemLoader(static),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"inline": inline, "breakable": breakable}
    return environment


def breakable(text: str) -> Markup:
    """Return escaped text that may break between words: after slashes and underscores."""
    return Markup("<wbr>").join(_WORD_END.split(text))


def inline(text: str) -> Markup:
    """Return escaped text with `code` as an element."""
    parts = _CODE.split(text)
    codes = [Markup("<code>{}</code>").format(breakable(code)) for code in parts[1::2]]
    return Markup("").join(part for pair in zip(parts[::2], [*codes, ""], strict=True) for part in pair)


async def check_reader(request: Request, readers: Readers, access: Access) -> None:
    """Raise NotFound for a client that may not read a page, or Unauthorized if a key opens it."""
    if readers == "off" or (readers == "loopback" and not is_local(request)):
        raise NotFound
    if readers == "key":
        record: RequestRecord = request.scope[KEY]
        record.private = True
        try:
            await access.check(api_key(request.scope["headers"], basic=True), Scope.READ)
        except Unauthorized:
            # Browsers ask for a password, which is the key; the user name has no meaning.
            record.extra_headers.append((b"www-authenticate", b'Basic realm="imgserve", charset="UTF-8"'))
            raise


def restricted(page: Page, readers: Readers, access: Access) -> Page:
    """Return a page for some readers only; others receive 404, or 401 if a key opens it."""

    async def respond(request: Request) -> Response:
        await check_reader(request, readers, access)
        response = await page(request)
        if readers == "key":
            response.headers["cache-control"] = "private, no-cache"
        return response

    return respond
