"""A small API and what it is asked with, for tests of the frame."""

from collections.abc import Iterable
from typing import Annotated, Any

import httpx2
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response

from imgserve.access.access import Access
from imgserve.access.keys import Scope, key_digest
from imgserve.catalog import IdempotencyKeys
from imgserve.errors import ImageNotFound
from imgserve.metrics import Metrics
from imgserve.web.access_log import AccessLog
from imgserve.web.api.endpoint import Answer, Body, Call, endpoint
from imgserve.web.api.messages import Reply, json_value, validated
from imgserve.web.api.router import Api
from imgserve.web.middleware import RequestLog, RequestMetrics, RequestMiddleware, as_our_error
from tests.access_rig import access_of

KEY = "img_a-key-for-tests"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


class Query(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=100)] = 10
    """How many."""
    tag: list[str] = []
    """Which."""
    all: bool = False
    """Whether all."""


class Wish(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)

    title: Annotated[str, Field(max_length=10)]
    """What it is called."""
    numbers: list[int] = []
    """Some."""


class Echo(BaseModel):
    """What was asked."""

    told: dict[str, Any]
    calls: int = 0


class Things:
    """Tells what it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    @endpoint("GET", "/api/things", Scope.READ, "List", tag="things")
    async def list(self, query: Query) -> Echo:
        """List things."""
        return Echo(told=query.model_dump())

    @endpoint("GET", "/api/things/{image_id}", Scope.READ, "Get", tag="things", errors=[ImageNotFound])
    async def get(self, image_id: str) -> Echo:
        """Report a thing.

        Raises:
            ImageNotFound: it is called nothing.
        """
        if image_id == "nothing":
            raise ImageNotFound
        return Echo(told={"id": image_id})

    @endpoint("POST", "/api/wish/{image_id}", Scope.MANAGE, "Wish", tag="things", status=201)
    async def wish(self, image_id: str, query: Query, body: Wish) -> Echo:
        """Wish something."""
        self.calls += 1
        return Echo(told={"id": image_id, "limit": query.limit, **body.model_dump()}, calls=self.calls)

    @endpoint("POST", "/api/fail", Scope.MANAGE, "Fail", tag="things")
    async def fail(self) -> Echo:
        """Fail."""
        self.calls += 1
        raise ImageNotFound

    @endpoint(
        "POST",
        "/api/stream",
        Scope.MANAGE,
        "Stream",
        tag="things",
        answers={200: Answer("What was asked.", Echo)},
        bodies=[
            Body("application/octet-stream", {"type": "string", "format": "binary"}),
            Body("application/json", Wish),
        ],
    )
    async def stream(self, call: Call) -> Reply | Response:
        """Count bytes, or read a wish."""
        self.calls += 1
        if call.request.headers["content-type"] == "application/json":
            wish = validated(Wish, (await json_value(call.request))[0])
            return Reply(Echo(told=wish.model_dump(), calls=self.calls), 202, {"location": "/there"})
        size = sum([len(piece) async for piece in call.request.stream()])
        return Response(f"{size} bytes for {call.caller.name}", media_type="text/plain")


def served(api: Api, metrics: Metrics | None = None) -> Starlette:
    """Put an API into an application as the server does."""
    metrics = metrics or Metrics(CollectorRegistry())
    exchange = Middleware(
        RequestMiddleware,
        requests=RequestLog(RequestMetrics(metrics), AccessLog("off")),
        allowed_hosts=("*",),
        not_found_max_age=10,
    )
    return Starlette(routes=[api], middleware=[exchange], exception_handlers={HTTPException: as_our_error})


def access(metrics: Metrics | None = None) -> Access:
    """Let in who has the key of the tests."""
    return access_of(key_digest(KEY), metrics=metrics)


def api_of(parts: Iterable[object], keys: IdempotencyKeys) -> Api:
    """Make an API of parts."""
    return Api(parts, access=access(), keys=keys)


async def asked(app: Starlette, method: str, target: str, **options: Any) -> httpx2.Response:
    """Request an application once, with the key unless `headers` are given."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    options.setdefault("headers", AUTHORIZED)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, target, **options)
