"""The endpoint that has pictures made ahead of time, and tells how far that has come."""

from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response

from imgserve.access.keys import Scope
from imgserve.images.warm import Progress, Warmer
from imgserve.web.api.endpoint import Answer, endpoint
from imgserve.web.api.error_models import error_within
from imgserve.web.api.frame import Call
from imgserve.web.api.making_models import WarmedLine, WarmWhat
from imgserve.web.api.streams import NDJSON, Streamed, lines


class Warming:
    """Warms the cache."""

    def __init__(self, warmer: Warmer) -> None:
        """Take who warms."""
        self._warmer = warmer

    @endpoint(
        "POST",
        "/api/warm",
        scope=Scope.WRITE,
        summary="Make pictures ahead of time",
        tag="pictures",
        answers={200: Answer("Lines of JSON while it goes on, the last with `finished`.", WarmedLine, [NDJSON])},
        example={"query": {"prefix": "shoes/"}, "presets": [], "transforms": ["w=400&auto=format"]},
    )
    async def warm(self, body: WarmWhat, call: Call) -> Response:
        """Make what these parameters mean for every kind of browser, while nobody waits for a picture.

        What is kept already is passed over, so the same call goes on where an earlier one ended. It ends when the
        caller leaves.
        """
        queries = self._warmer.queries(body.presets, body.transforms)
        total = await self._warmer.total(body.selection, queries)
        progress = self._warmer.warm(body.selection, queries, total=total)
        return Streamed(lines(_told(progress, call.request)), NDJSON, {})


async def _told(progress: AsyncGenerator[Progress, None], request: Request) -> AsyncGenerator[WarmedLine, None]:
    async for one in progress:
        counts = {"done": one.done, "total": one.total, "failed": one.failed, "made": one.made}
        if one.finished:
            yield WarmedLine(**counts, finished=True)
        elif one.error is None:
            yield WarmedLine(**counts, id=one.image_id)
        else:
            yield WarmedLine(**counts, id=one.image_id, problem=error_within(one.error, request))
