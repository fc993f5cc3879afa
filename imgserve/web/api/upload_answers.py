"""What is answered to an upload: the record, where it is, addresses to try, images that look alike."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from imgserve.client import ImageUrls
from imgserve.client.address import encoded_id
from imgserve.errors import ImgserveError
from imgserve.model import ImageRecord
from imgserve.services.ingest import Accepted
from imgserve.web.api.upload_names import examples
from imgserve.web.exchange import KEY, Exchange
from imgserve.web.problem import problem_members

_STATUSES = {"created": 201, "replaced": 200, "existing": 200}
_SEVERAL = 207

Take = Callable[[], Awaitable[Accepted]]


@dataclass(frozen=True, slots=True)
class UploadAnswers:
    """Writes answers."""

    urls: ImageUrls
    """Of the pictures of this server."""
    describe: Callable[[ImageRecord], Mapping[str, Any]]
    """Writes a record as the API tells it."""

    def one(self, request: Request, accepted: Accepted) -> Response:
        """Answer for one image."""
        place = f"{request.scope.get('root_path', '')}/api/images/{encoded_id(accepted.record.image_id)}"
        return _json(_STATUSES[accepted.outcome], self._members(accepted), {"location": place})

    async def several(self, request: Request, takes: Iterable[tuple[str, Take]]) -> Response:
        """Take several images one after the other, and answer for each by itself."""
        exchange: Exchange = request.scope[KEY]
        results = []
        for name, take in takes:
            try:
                accepted = await take()
            except ImgserveError as error:
                members = problem_members(error, instance=request.scope["path"], request_id=exchange.request_id)
                results.append({"status": error.status, "name": name, "problem": members})
            else:
                status = _STATUSES[accepted.outcome]
                results.append({"status": status, "name": name, **self._members(accepted)})
        return _json(_SEVERAL, {"results": results})

    def _members(self, accepted: Accepted) -> dict[str, Any]:
        record = accepted.record
        return {
            "image": self.describe(record),
            "outcome": accepted.outcome,
            "examples": examples(self.urls, record.image_id, record.width, record.height),
            "similar": [{"id": other.record.image_id, "distance": other.distance} for other in accepted.similar],
        }


def _json(status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    # Ids of files that lie in place may hold bytes that are no UTF-8; they are told as the escapes that they are.
    body = json.dumps(content, ensure_ascii=True).encode()
    fields = {"cache-control": "no-store", "x-content-type-options": "nosniff", **(headers or {})}
    return Response(body, status, fields, "application/json")
