"""A server that speaks the API over a real socket and keeps everything in memory: what the client library talks to.

It stands in for the real one where a test needs an answer that the real one gives rarely: busy, broken, newer.
"""

import contextlib
import hashlib
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from imgserve.client.api import Imgserve
from imgserve.errors import ImageExists, ImageNotFound, ImgserveError, PreconditionFailed, Unauthorized
from imgserve.http.problem import problem
from tests.prefork import PATIENCE
from tests.servers import until

MakeClient = Callable[..., Imgserve]

KEY = "the-key"
TIME = "2026-11-20T12:00:00Z"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    """As spelled."""
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Escaped(JSONResponse):
    """JSON in ASCII, which can hold ids that are no text."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


def record(image_id: str, data: bytes = b"", **fields: Any) -> dict[str, Any]:
    """Write a record as the API has it."""
    return {
        "id": image_id, "version": "1_2", "url": f"/img/{image_id}", "sha256": hashlib.sha256(data).hexdigest(),
        "format": "jpg", "media_type": "image/jpeg", "width": 40, "height": 30, "frames": 1, "bytes": len(data),
        "alpha": False, "color_space": "srgb", "dominant_color": "#ff8800", "palette": ["#ff8800"],
        "blurhash": "", "thumbhash": "AQID",
        "perceptual_hash": "00000000000000ff", "title": "", "alt": "", "description": "", "tags": [], "metadata": {},
        "focal_point": None, "origin": "upload", "who": "admin", "created": TIME, "changed": TIME, **fields,
    }  # fmt: skip


def told(error: ImgserveError) -> Response:
    """Answer with an error, as the real server writes it."""
    status, headers, body = problem(error, instance="/", request_id="abc")
    return Response(body, status, {name.decode(): value.decode() for name, value in headers})


@dataclass(slots=True)
class ApiServer:
    """What it keeps, what it was asked, and what it is to answer first."""

    base_url: str = ""
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    trash: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    first: deque[Callable[[], Response]] = field(default_factory=deque)
    """Answers to the next requests, before it works again."""
    answers: dict[str, Response] = field(default_factory=dict)
    """By path: what is not made up here."""
    kept: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """By idempotency key."""

    def forget(self) -> None:
        """Be as new."""
        for held in (self.images, self.trash, self.seen, self.first, self.answers, self.kept):
            held.clear()

    async def answer(self, request: Request) -> Response:
        body = b"".join([piece async for piece in request.stream()])
        path = request.scope["raw_path"].decode()
        self.seen.append(
            Seen(request.method, path, tuple(request.query_params.multi_items()), dict(request.headers), body)
        )
        if self.first:
            return self.first.popleft()()
        if not path.startswith("/img/") and request.headers.get("authorization") != f"Bearer {KEY}":
            return told(Unauthorized())
        if path in self.answers:
            return self.answers[path]
        return self._once(request, body)

    def _once(self, request: Request, body: bytes) -> Response:
        key = request.headers.get("idempotency-key", "")
        if key in self.kept:
            status, content = self.kept[key]
            return Response(content, status, media_type="application/json")
        try:
            response = self._work(request, body)
        except ImgserveError as error:
            return told(error)
        if key:
            self.kept[key] = (response.status_code, bytes(response.body))
        return response

    def _work(self, request: Request, body: bytes) -> Response:
        path, method = request.path_params["path"], request.method
        if path == "images":
            return self._listed(request) if method == "GET" else self._uploaded(request, body)
        if path.startswith("trash/"):
            gone = self.trash.pop(path.split("/")[1])
            self.images[gone["id"]] = gone
            return Escaped(gone)
        if path == "trash":
            items = [{"item": item, "id": of["id"], "deleted": TIME, "until": TIME, "bytes": of["bytes"]}
                     for item, of in self.trash.items()]  # fmt: skip
            return Escaped({"items": items})
        if path.startswith("images/"):
            return self._one(method, path.removeprefix("images/"), request, body)
        return told(ImgserveError(f"not made up: {path}"))

    def _one(self, method: str, image_id: str, request: Request, body: bytes) -> Response:
        if method == "PUT":
            if image_id in self.images and request.headers.get("if-none-match") == "*":
                raise PreconditionFailed
            return self._store(image_id, body, {})
        if image_id not in self.images:
            raise ImageNotFound(f"There is no image {image_id!r}.")
        if method == "DELETE":
            item = f"item-{len(self.trash)}"
            self.trash[item] = self.images.pop(image_id)
            return Escaped({"deleted": [{"id": image_id, "trash_item": item, "until": TIME}]})
        if method == "PATCH":
            self.images[image_id] |= json.loads(body)
        return Escaped(self.images[image_id])

    def _listed(self, request: Request) -> Response:
        asked = request.query_params
        found = sorted(image_id for image_id in self.images if image_id.startswith(asked.get("prefix", "")))
        begin, size = int(asked.get("cursor", 0)), int(asked["limit"])
        end = begin + size
        page = [self.images[image_id] for image_id in found[begin:end]]
        return Escaped({"images": page, "next": str(end) if end < len(found) else None})

    def _uploaded(self, request: Request, body: bytes) -> Response:
        asked = request.query_params
        if "json" in request.headers.get("content-type", ""):
            document = json.loads(body)
            return self._store(document["id"], document["url"].encode(), {})
        name = asked.get("filename", "nameless")
        image_id = asked.get("id") or "/".join(filter(None, [asked.get("folder"), name]))
        if image_id in self.images:
            raise ImageExists
        return self._store(image_id, body, {"title": asked.get("title", ""), "tags": asked.getlist("tags")})

    def _store(self, image_id: str, body: bytes, fields: dict[str, Any]) -> Response:
        outcome = "replaced" if image_id in self.images else "created"
        self.images[image_id] = record(image_id, body, **fields)
        answer = {"image": self.images[image_id], "outcome": outcome, "examples": {"small": f"/img/{image_id}?width=9"},
                  "similar": [{"id": "twin.jpg", "distance": 2}]}  # fmt: skip
        return Escaped(answer, 201 if outcome == "created" else 200)


def ndjson(*lines: object, broken: bool = False) -> StreamingResponse:
    """Answer line by line; `broken` ends the connection before the answer ends."""

    async def written() -> AsyncIterator[bytes]:
        for line in lines:
            yield json.dumps(line).encode() + b"\n"
        if broken:
            raise ConnectionResetError("on purpose")

    return StreamingResponse(written(), media_type="application/x-ndjson")


@contextlib.contextmanager
def api_server() -> Iterator[ApiServer]:
    """Serve until the block ends."""
    served = ApiServer()
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route(f"/{top}/{{path:path}}", served.answer, methods=methods) for top in ("api", "img")])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    port = until(lambda: server.started and server.servers[0].sockets[0].getsockname()[1])
    served.base_url = f"http://127.0.0.1:{port}"
    yield served
    server.should_exit = True
    thread.join(PATIENCE)
    assert not thread.is_alive()
