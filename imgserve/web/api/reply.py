"""An answer of JSON as a value, that can be sent and kept."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel
from starlette.responses import Response

from imgserve.web.api.endpoint import JSON


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answers where a model alone does not say it."""

    content: BaseModel | None
    """None for no body."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def body(self) -> bytes:
        """Write the content; ids that are not UTF-8 are told as the escapes that they are."""
        if self.content is None:
            return b""
        text = json.dumps(self.content.model_dump(mode="json", by_alias=True), separators=(",", ":"))
        # Nothing in it looks like markup even to a client that ignores the type.
        return text.replace("<", "\\u003c").encode("ascii")


def response(status: int, headers: Mapping[str, str], body: bytes) -> Response:
    """Give what is sent: no cache keeps what a key has opened."""
    fields = {**headers, "cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(body, status, fields, JSON if body else None)


def as_response(reply: Reply | Response) -> Response:
    """Return the response that is sent, which no cache stores."""
    if isinstance(reply, Reply):
        return response(reply.status, reply.headers, reply.body)
    reply.headers["cache-control"] = "no-store"
    return reply
