"""Answers that are sent while they are made, and whose making ends when nobody reads on."""

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from pydantic import BaseModel
from starlette.responses import StreamingResponse
from starlette.types import Send

NDJSON = "application/x-ndjson"
_UNBUFFERED = {"x-accel-buffering": "no", "x-content-type-options": "nosniff"}
"""Proxies are to pass on each piece at once."""


class Streamed(StreamingResponse):
    """Sends pieces as they come; where the client leaves, their generator is closed."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str]) -> None:
        """Take what makes the pieces."""
        super().__init__(pieces, media_type=media_type, headers={**_UNBUFFERED, **headers})
        self._pieces = pieces

    async def stream_response(self, send: Send) -> None:
        """Send everything."""
        async with contextlib.aclosing(self._pieces):
            await super().stream_response(send)


async def lines(models: AsyncIterator[BaseModel]) -> AsyncGenerator[bytes, None]:
    """Write each model as a line of JSON; what is not set is left out."""
    async for model in models:
        yield json.dumps(model.model_dump(mode="json", exclude_unset=True)).encode() + b"\n"
