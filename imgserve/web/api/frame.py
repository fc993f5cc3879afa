"""Answers requests of the API by what its endpoints have declared: who may, what came, what is answered."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from imgserve.access.keys import Access, Caller
from imgserve.catalog import IdempotencyKeys
from imgserve.errors import Unauthorized
from imgserve.web.api.endpoint import Endpoint, endpoints_of
from imgserve.web.api.idempotency import once
from imgserve.web.api.mistakes import bad_request
from imgserve.web.api.paths import Places, moved, raw_path
from imgserve.web.api.reading import checked, json_value, query_values
from imgserve.web.api.reply import Reply, as_response
from imgserve.web.middleware import KEY, RequestRecord

M = TypeVar("M", bound=BaseModel)

PREFIX = "/api/"
ROUTE = "api"
"""By which requests are counted."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be answered, for endpoints that read it themselves."""

    request: Request
    caller: Caller

    async def json(self, model: type[M]) -> M:
        """Read a JSON body into a model.

        Raises:
            UnsupportedContent, BodyTooLarge, BadRequest: as the names say, with every mistake.
        """
        mistakes = list[str]()
        value = checked(model, (await json_value(self.request))[0], mistakes)
        if value is None:
            raise bad_request(mistakes)
        return value


class Api:
    """The endpoints of some objects, as one ASGI application; errors are raised for the layer around it."""

    def __init__(self, parts: Iterable[object], *, access: Access, answers: IdempotencyKeys) -> None:
        """Take objects with methods that declare endpoints, who decides on callers, and where answers are kept."""
        self.endpoints = [one for part in parts for one in endpoints_of(part)]
        self._places = Places(self.endpoints)
        self._access = access
        self._answers = answers

    @property
    def route(self) -> BaseRoute:
        """Give the route to all of it."""
        return ApiRoute(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if KEY in scope:
            exchange: RequestRecord = scope[KEY]
            exchange.route, exchange.private = ROUTE, True
        request, old = Request(scope, receive), moved(scope)
        if old is not None and scope["method"] == "POST":
            await as_response(old)(scope, receive, send)  # a record has no POST
            return
        place, pieces = self._places.find(raw_path(scope))
        endpoint = place.endpoint(scope["method"])
        # Before anything of the request is looked into: what may not be done is not worth a look.
        caller = self._access.require(_credential(request), endpoint.scope)
        answer = await self._answer(endpoint, pieces, request, caller)
        await answer(scope, receive, _without_body(send) if scope["method"] == "HEAD" else send)

    async def _answer(self, endpoint: Endpoint, pieces: dict[str, str], request: Request, caller: Caller) -> Response:
        given, mistakes, body = dict[str, Any](pieces), list[str](), None
        if endpoint.query is not None:
            values = query_values(endpoint.query, request.scope["query_string"], mistakes)
            given["query"] = checked(endpoint.query, values, mistakes)
        elif not endpoint.takes_call and request.scope["query_string"]:
            mistakes.append("expected no query here")
        if endpoint.body is not None:
            value, body = await json_value(request)
            given["body"] = checked(endpoint.body, value, mistakes)
        if mistakes:
            raise bad_request(mistakes)
        work = functools.partial(_called, endpoint, given, caller)
        if endpoint.method != "POST":
            return as_response(await work(request))
        read = None if endpoint.streams else body or b""
        return as_response(await once(self._answers, request, caller, read, work))


class ApiRoute(BaseRoute):
    """Takes every address below /api, whatever its method and whatever bytes are in it."""

    def __init__(self, app: Api) -> None:
        """Take the application."""
        self.app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether a request is for the API."""
        start = scope.get("root_path", "") + PREFIX
        return (Match.FULL if scope["type"] == "http" and scope["path"].startswith(start) else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self.app(scope, receive, send)


async def _called(endpoint: Endpoint, given: dict[str, Any], caller: Caller, request: Request) -> Reply | Response:
    call = {"call": Call(request, caller)} if endpoint.takes_call else {}
    answer = await endpoint.call(**given, **call)
    if isinstance(answer, BaseModel):
        return Reply(answer, next(iter(endpoint.answers)))
    if not isinstance(answer, (Reply, Response)):
        raise TypeError(f"{endpoint.name} answered with {type(answer).__name__}")
    return answer


def _credential(request: Request) -> str | None:
    """Read the key.

    Raises:
        Unauthorized: there are several, which may differ.
    """
    authorizations = request.headers.getlist("authorization")
    bearers = [value.partition(" ")[2].strip() for value in authorizations if value.lower().startswith("bearer ")]
    keys = {*bearers, *request.headers.getlist("x-api-key")}
    if len(keys) > 1:
        raise Unauthorized("Several API keys came with this request; one is expected.")
    return next(iter(keys), None)


def _without_body(send: Send) -> Send:
    """Answer HEAD as GET, and keep the body back."""

    async def sent(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return sent
