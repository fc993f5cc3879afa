"""The ASGI application of the API: finds the endpoint, authorizes the caller, validates the input, records the call."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes, urlencode

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from imgserve.access.access import Access
from imgserve.access.keys import Caller
from imgserve.catalog import AuditLog, IdempotencyKeys, Images
from imgserve.errors import CatalogUnavailable, Forbidden, ImageNotFound, MethodNotAllowed, NotFound, quoted
from imgserve.http.headers import api_key
from imgserve.model import EDITABLE
from imgserve.records import AuditEntry
from imgserve.web.api.endpoint import IMAGE_ID, Call, Endpoint, endpoints_of
from imgserve.web.api.idempotency import HEADER, once
from imgserve.web.api.messages import Reply, as_response, bad_request, checked, json_value, query_values
from imgserve.web.api.requests import RequestModel
from imgserve.web.middleware import KEY, RequestRecord
from imgserve.web.visitors import Visitors

_logger = logging.getLogger(__name__)
_DESCRIBED = frozenset({"PATCH", "PUT", "DELETE"})
"""Methods that replace what is known about an image."""


@dataclass(frozen=True, slots=True)
class Auditor:
    """Records who changed what. A call that failed is not recorded; the access log has it."""

    log: AuditLog
    images: Images

    async def begin(
        self, endpoint: Endpoint, values: Mapping[str, Any], request: Request, caller: Caller
    ) -> AuditEntry:
        """Return the entry of a call that is about to be made, with the image as it is."""
        body, target = values.get("body"), next((str(values[name]) for name in endpoint.path_parameters[-1:]), "")
        record: RequestRecord | None = request.scope.get(KEY)
        return AuditEntry(
            at=datetime.now(UTC),
            actor=caller.name,
            address=request.client.host if request.client else "",
            action=endpoint.name,
            target=target,
            before=await self._described(target) if IMAGE_ID in values and endpoint.method in _DESCRIBED else {},
            after=body.model_dump(mode="json", exclude_unset=True) if isinstance(body, BaseModel) else {},
            request_id=record.request_id if record else "",
        )

    async def finish(self, entry: AuditEntry, created: Sequence[str] = ()) -> None:
        """Record a call that was made, with the ids of what it has stored; without the catalog, the log has it."""
        if len(created) == 1 and not entry.target:
            entry = replace(entry, target=created[0])
        elif created and not entry.target:
            entry = replace(entry, after={**entry.after, "ids": list(created)})
        try:
            await self.log.add(entry)
        except CatalogUnavailable:
            _logger.warning("the audit log misses a call: %s of %r by %s", entry.action, entry.target, entry.actor)

    async def _described(self, image_id: str) -> Mapping[str, Any]:
        record = await self.images.get(image_id)
        if record is None:
            return {}
        fields = {name: getattr(record, name) for name in EDITABLE}
        return {name: value for name, value in fields.items() if value}


# In earlier versions, actions followed the image id: /api/images/a.jpg/purge.
_OLD_ACTIONS = {
    "GET": re.compile(r"/api/images/(.+)/(similar|convert/[^/]+)", re.DOTALL),
    "POST": re.compile(r"/api/images/(.+)/(purge|transform)", re.DOTALL),
}


class Api(BaseRoute):
    """The route to everything below /api, with any method and any bytes; errors are raised for the middleware."""

    def __init__(
        self,
        parts: Iterable[object],
        *,
        access: Access,
        keys: IdempotencyKeys,
        audit: Auditor | None = None,
        visitors: Visitors | None = None,
    ) -> None:
        self.endpoints = [one for part in parts for one in endpoints_of(part)]
        self._audit = audit
        self._routes = Routes(self.endpoints)
        self._access = access
        self._keys = keys
        self._visitors = visitors

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether a request is for the API."""
        start = scope.get("root_path", "") + "/api/"
        return (Match.FULL if scope["type"] == "http" and scope["path"].startswith(start) else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        if KEY in scope:
            record: RequestRecord = scope[KEY]
            record.route, record.private = "api", True
        if scope["method"] == "POST" and (response := moved(scope)):  # a record has no POST
            await as_response(response)(scope, receive, send)
            return
        endpoint, values = self._routes.find(_raw_path(scope), scope["method"])
        request = Request(scope, receive)
        # Before the request is validated, so that nobody without a key learns anything.
        key = api_key(scope["headers"])
        person = self._visitors.caller(request) if key is None and self._visitors is not None else None
        caller = await self._access.check(key, endpoint.scope, values.get(IMAGE_ID), signed_in=person)
        if KEY in scope:
            record.caller = caller.name
        await self._access.count_call(caller, endpoint.scope, request.client.host if request.client else "")
        reply = await self._respond(endpoint, values, request, caller)
        await as_response(reply)(scope, receive, send)

    async def read(self, request: Request, path: str, query: str, person: Caller) -> Any:
        """Return what GET of a path returns to a person who is signed in, as a model; it knows some of the query.

        Raises ImgserveError as the endpoint, or as the check of the caller.
        """
        endpoint, values = self._routes.find(path.encode(), "GET")
        caller = await self._access.check(None, endpoint.scope, values.get(IMAGE_ID), signed_in=person)
        known = endpoint.query.model_fields if endpoint.query is not None else ()
        pairs = parse_qsl(query, errors="surrogateescape")
        kept = urlencode([pair for pair in pairs if pair[0] in known], errors="surrogateescape")
        scope = {**request.scope, "path": path, "query_string": kept.encode()}
        reply = await self._respond(endpoint, values, Request(scope), caller)
        return reply.content if isinstance(reply, Reply) else reply

    async def _respond(
        self, endpoint: Endpoint, values: dict[str, Any], request: Request, caller: Caller
    ) -> Reply | Response:
        body = await _validated(endpoint, values, request)
        if caller.prefixes:
            _confine(endpoint, values, caller)
        if caller.presets and endpoint.tag == "pictures":
            raise Forbidden("This API key is for pictures with certain presets, by their URLs.")

        async def work(request: Request) -> Reply | Response:
            if self._audit is None or endpoint.method == "GET":
                return await done(request)
            audited = await self._audit.begin(endpoint, values, request, caller)
            reply = await done(request)
            await self._audit.finish(audited, reply.created if isinstance(reply, Reply) else ())
            return reply

        async def done(request: Request) -> Reply | Response:
            call = {"call": Call(request, caller)} if endpoint.takes_call else {}
            try:
                result = await endpoint.call(**values, **call)
            except ImageNotFound as error:
                error.members.update({"id": values[IMAGE_ID]} if IMAGE_ID in values else {})
                raise
            return Reply(result, next(iter(endpoint.answers))) if isinstance(result, BaseModel) else result

        if not endpoint.repeatable or HEADER not in request.headers:
            return await work(request)
        read = None if endpoint.bodies else body or b""
        return await once(self._keys, request, caller, read, work)


async def _validated(endpoint: Endpoint, values: dict[str, Any], request: Request) -> bytes | None:
    """Add the validated query and body to the input of a call; return the body, or None if the method reads it.

    Raises BadRequest with every mistake.
    """
    mistakes, body = list[str](), None
    if endpoint.query is not None:
        query = query_values(endpoint.query, request.scope["query_string"], mistakes)
        values["query"] = checked(endpoint.query, query, mistakes)
    elif not endpoint.takes_call and request.scope["query_string"]:
        mistakes.append("expected no query here")
    if endpoint.body is not None:
        value, body = await json_value(request)
        values["body"] = checked(endpoint.body, value, mistakes)
    if mistakes:
        raise bad_request(mistakes)
    return body


def _confine(endpoint: Endpoint, values: dict[str, Any], caller: Caller) -> None:
    """Limit the input of a call to the images of a key; raise Forbidden if the call is about other images too."""
    limited = endpoint.limited if endpoint.limited is not None else IMAGE_ID in values
    for name in ("query", "body"):
        model = values.get(name)
        if endpoint.limited is None and isinstance(model, RequestModel) and IMAGE_ID not in values:
            confined = model.confined(caller.prefixes)
            if confined is not None:
                values[name], limited = confined, True
    if not limited:
        starts = " or ".join(map(quoted, caller.prefixes))
        raise Forbidden(f"This API key is for images whose ids start with {starts}, and this call is about others too.")


class Routes:
    """Finds endpoints by the raw bytes of a path, since image ids contain slashes and need not be UTF-8."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        """Create the routes; two endpoints with the same method and path raise ValueError."""
        by_path = dict[str, dict[str, Endpoint]]()
        for one in endpoints:
            if by_path.setdefault(one.path, {}).setdefault(one.method, one) is not one:
                raise ValueError(f"{one.method} {one.path} is declared twice")
        # The path with the most fixed segments first, since a parameter may have any value.
        paths = sorted(by_path, key=lambda path: -sum("{" not in part for part in path.split("/")))
        self._routes = [(_pattern(path), by_path[path]) for path in paths]

    def find(self, raw_path: bytes, method: str) -> tuple[Endpoint, dict[str, Any]]:
        """Return the endpoint and the decoded parameters of a path; raise NotFound or MethodNotAllowed for none."""
        text, method = raw_path.decode("latin-1"), "GET" if method == "HEAD" else method
        for pattern, endpoints in self._routes:
            if match := pattern.fullmatch(text):
                if method not in endpoints:
                    allowed = {*endpoints, *(("HEAD",) if "GET" in endpoints else ())}
                    raise MethodNotAllowed(members={"allow": sorted(allowed)})
                parts = {name: unquote_to_bytes(value) for name, value in match.groupdict().items()}
                return endpoints[method], {
                    name: part.decode("utf-8", "surrogateescape") for name, part in parts.items()
                }
        raise NotFound


def moved(scope: Scope) -> Response | None:
    """Return a redirect for an action at its path of earlier versions, or None for any other request.

    A slash that is written as %2F never preceded an action.
    """
    pattern = _OLD_ACTIONS.get("GET" if scope["method"] == "HEAD" else scope["method"])
    match = pattern and pattern.fullmatch(_raw_path(scope).decode("latin-1"))
    if not match:
        return None
    return redirect(scope, f"/api/{match[2]}/{match[1]}")


def redirect(scope: Scope, path: str) -> Response:
    """Return a permanent redirect to a path, with the query of the request."""
    root, query = scope.get("root_path", ""), scope["query_string"].decode("latin-1")
    return RedirectResponse(f"{root}{path}" + (f"?{query}" if query else ""), 308)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    named = (f"(?P<{name}>{'.+' if name == IMAGE_ID else '[^/]+'})" for name in parts[1::2])
    fixed = [re.escape(part) for part in parts[::2]]
    return re.compile("".join(a + b for a, b in zip(fixed, [*named, ""], strict=True)), re.DOTALL)


def _raw_path(scope: Scope) -> bytes:
    raw: bytes = scope["raw_path"]
    return raw.removeprefix(scope.get("root_path", "").encode())
