"""The frame of every page below /admin: templates, navigation, security headers, redirects and forms."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from imgserve.access.keys import Scope
from imgserve.errors import BadRequest, BodyTooLarge, UnsupportedContent
from imgserve.http.headers import RawHeaders
from imgserve.web.admin.filters import FILTERS
from imgserve.web.api.messages import media_type
from imgserve.web.documents import HTML, Page, page_templates
from imgserve.web.middleware import KEY, RequestRecord
from imgserve.web.visitors import Visitor, cookie_name

_FORM = "application/x-www-form-urlencoded"
_MOST_BYTES, _MOST_FIELDS = 20_000, 10
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",  # with no-referrer, browsers would not send their origin either
    "x-content-type-options": "nosniff",
}
"""Headers of every page. htmx and uPlot set styles through the DOM, which the policy permits."""


Source = str | Callable[[], Awaitable[object]]
"""The path of a GET endpoint of the API, which may have a query, or a function that returns the data."""


@dataclass(frozen=True, slots=True)
class AdminPage:
    """A page; it is in the navigation if its path has one part."""

    path: str
    """Below /admin/, such as `images` or `images/{image_id:path}`. Its parameters are those of the sources."""
    title: str
    scope: Scope
    """The scope that a person needs to see it."""
    sources: Mapping[str, Source] = field(default_factory=dict)
    """What the template shows, by name. Each endpoint receives the parameters of the page's query that it knows.

    A path with a query of its own receives only that; it may contain parameters of the page's path and query.
    """
    extras: Mapping[str, Source] = field(default_factory=dict)
    """The same for people with the scope `admin`; others see the page without."""

    template: str = ""
    """The template, if it is not named like the page."""

    @property
    def template_name(self) -> str:
        """The name of the template."""
        return f"{self.template or self.path.replace('/', '_') or 'overview'}.html"


class Shell:
    """Renders templates for people who are signed in, and for those who sign in."""

    def __init__(self, static: Path, version: str, **values: object) -> None:
        """`values` are constants of all templates."""
        self.navigation: Sequence[AdminPage] = ()
        self.actions: Mapping[str, str] = {}
        self._templates = page_templates(static / "admin")
        self._templates.globals |= {"version": version, **values}
        self._version = version
        self._templates.filters |= FILTERS

    def page(
        self, request: Request, template: str, status: int = 200, *, visitor: Visitor | None = None, **values: Any
    ) -> Response:
        """Return a page; requests of htmx receive it without the frame."""
        root = request.scope.get("root_path", "")
        shown = visitor and [item for item in self.navigation if visitor.caller.may(item.scope)]
        text = self._templates.get_template(template).render(
            part="hx-request" in request.headers,
            navigation=shown,
            actions=self.actions,
            root=root,
            static=f"{root}/static/@{self._version}",
            secure=cookie_name(request) is not None,
            visitor=visitor,
            can=visitor and {scope.value: visitor.caller.may(scope) for scope in Scope},
            **values,
        )
        # A byte of an image id that is not UTF-8 is shown as a question mark; links have it percent-encoded.
        return Response(text.encode("utf-8", "replace"), status, {**HEADERS, "vary": "HX-Request"}, HTML)


def private(page: Page) -> Page:
    """Return a page whose requests are recorded as those of the admin page, and that no cache stores."""

    async def respond(request: Request) -> Response:
        record: RequestRecord = request.scope[KEY]
        record.route, record.private = "admin", True
        return await page(request)

    return respond


def redirect(request: Request, page: str, headers: RawHeaders | None = None) -> Response:
    """Return a redirect to a page below /admin, which also leads htmx there."""
    path = f"{request.scope.get('root_path', '')}/admin/{page}"
    if "hx-request" in request.headers:
        response = Response(status_code=HTTPStatus.NO_CONTENT, headers={**HEADERS, "hx-redirect": path})
    else:
        response = RedirectResponse(path, HTTPStatus.SEE_OTHER, HEADERS)
    response.raw_headers += headers or []
    return response


async def form_fields(request: Request) -> dict[str, str]:
    """Return the fields of a form; raise UnsupportedContent, BodyTooLarge or BadRequest for another body."""
    if media_type(request) != _FORM:
        raise UnsupportedContent
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise BodyTooLarge
    try:
        return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise BadRequest from None
