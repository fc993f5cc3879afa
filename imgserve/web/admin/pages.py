"""The pages of people who are signed in: each shows what some GET endpoints of the API return."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from imgserve.access.access import Access
from imgserve.access.keys import Scope
from imgserve.errors import Forbidden, ImgserveError
from imgserve.http.headers import quoted_id
from imgserve.web.admin.filters import PictureUrls
from imgserve.web.admin.shell import AdminPage, Shell, Source, private, redirect
from imgserve.web.api.router import Api
from imgserve.web.documents import restricted
from imgserve.web.middleware import KEY, RequestRecord
from imgserve.web.visitors import From, Visitor, Visitors

_OTHER_ACTIONS = {
    "login": "Sign in",
    "logout": "Sign out",
    "login_failed": "Try to sign in with a wrong password",
    "password_change": "Change a password",
    "accounts_link": "Create a link for the first account",
}
"""Actions of the audit log that are no calls of the API, in words."""


class AdminPages:
    """The routes of pages, and of the redirect to the first one."""

    def __init__(
        self, pages: tuple[AdminPage, ...], shell: Shell, visitors: Visitors, api: Api, pictures: PictureUrls
    ) -> None:
        self._pages = pages
        self._shell = shell
        shell.navigation = tuple(page for page in pages if not {"{", "/"}.intersection(page.path))
        shell.actions = {endpoint.name: endpoint.summary for endpoint in api.endpoints} | _OTHER_ACTIONS
        self._visitors = visitors
        self._api = api
        self._pictures = pictures

    def routes(self, access: Access, allowed: From, more: Mapping[str, "VisitorPage"]) -> list[BaseRoute]:
        """Return the routes; `more` are responses that are no pages, by path."""
        pages = {
            "/admin": self._enter,
            **{f"/admin/{page.path}": self._signed_in(partial(self._show, page)) for page in self._pages},
        }
        pages |= {f"/admin/{path}": self._signed_in(respond) for path, respond in more.items()}
        return [
            Route(path, private(restricted(page, allowed, access)), methods=["GET"]) for path, page in pages.items()
        ]

    async def _enter(self, request: Request) -> Response:
        return redirect(request, "")

    def _signed_in(self, respond: "VisitorPage") -> Callable[[Request], Awaitable[Response]]:
        """Return a page that sends everybody else to the login."""

        async def checked(request: Request) -> Response:
            visitor = self._visitors.find(request)
            if visitor is None:
                return redirect(request, "login")
            record: RequestRecord = request.scope[KEY]
            record.caller = visitor.caller.name
            return await respond(request, visitor)

        return checked

    async def _show(self, page: AdminPage, request: Request, visitor: Visitor) -> Response:
        common: dict[str, Any] = {"page": page, "query": request.query_params, "visitor": visitor}
        try:
            if not visitor.caller.may(page.scope):
                raise Forbidden(f"This page is for people with the scope {page.scope}, which {visitor.role}s lack.")
            data = dict[str, Any]()
            for name, source in {**page.sources, **(page.extras if visitor.caller.may(Scope.ADMIN) else {})}.items():
                data[name] = await self._read(source, request, visitor)
                if isinstance(data[name], Response):  # the image was moved
                    start = f"{request.scope.get('root_path', '')}/api/"
                    return redirect(request, data[name].headers["location"].removeprefix(start))
        except ImgserveError as error:
            request.scope[KEY].outcome = error.code
            return self._shell.page(request, "error.html", error.status, error=error, **common)
        picture = partial(self._pictures, request.headers.get("host", "").encode("latin-1"))
        return self._shell.page(request, page.template_name, picture=picture, **data, **common)

    async def _read(self, source: Source, request: Request, visitor: Visitor) -> Any:
        if not isinstance(source, str):
            return await source()
        path, _, fixed = source.format_map(_quoted_parameters(request)).partition("?")
        return await self._api.read(request, path, fixed or request.url.query, visitor.caller)


def _quoted_parameters(request: Request) -> Mapping[str, str]:
    """Return the parameters of query and path percent-encoded; the last one may have bytes that are not UTF-8."""
    pairs = [*parse_qsl(request.url.query, errors="surrogateescape"), *request.path_params.items()]
    parameters = defaultdict(str, {name: quoted_id(value) for name, value in pairs})
    raw = unquote_to_bytes(request.scope["raw_path"]).decode("utf-8", "surrogateescape")
    for name, value in list(request.path_params.items())[-1:]:
        start = len(request.scope["path"]) - len(value)
        parameters[name] = quoted_id(raw[start:])
    return parameters


VisitorPage = Callable[[Request, Visitor], Awaitable[Response]]
