"""Call webhooks when imports and products are finished, as Standard Webhooks describe it (standardwebhooks.com)."""

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio

from imgserve.catalog import Catalog, StoredDelivery, StoredItem
from imgserve.download import Downloader
from imgserve.errors import CatalogUnavailable, FetchFailed, ImgserveError

_logger = logging.getLogger(__name__)
_PREFIX = "whsec_"
_NAME = "webhook"
"""Of the generated secret in the catalog."""
_PAUSES = (5, 60, 300, 1800, 7200, 18_000, 28_800, 28_800)
"""Seconds after each failed attempt: together a day."""
_CLAIM = timedelta(minutes=2)
_LOOK_SECONDS = 1.0
_AT_ONCE = 10
_PAGE = 1000
_GONE = 410
"""The receiver wishes no further calls."""


def signature(secret: str, delivery_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a call."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = hmac.new(key, f"{delivery_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


def is_webhook_secret(text: str) -> bool:
    """Return whether a text is a secret of signatures: whsec_ and 24 to 64 bytes in base64."""
    with contextlib.suppress(binascii.Error):
        return text.startswith(_PREFIX) and len(base64.b64decode(text.removeprefix(_PREFIX), validate=True)) in range(
            24, 65
        )
    return False


class Webhooks:
    """Makes the calls that are due. A failed one is repeated after growing pauses for a day."""

    def __init__(
        self, catalog: Catalog, sender: Downloader, secret: str, url_of: Callable[[StoredItem, str], str]
    ) -> None:
        """`url_of` returns the URL of the output of an item, or an empty text if it has none."""
        self._catalog = catalog
        self._sender = sender
        self._secret = secret
        self._url_of = url_of

    async def secret(self) -> str:
        """Return the secret of signatures; without one in the settings, a generated one of all nodes."""
        proposed = f"{_PREFIX}{base64.b64encode(secrets.token_bytes(32)).decode()}"
        return self._secret or await self._catalog.secrets.shared(_NAME, proposed)

    async def run(self) -> None:
        """Make calls until cancelled."""
        while True:
            with contextlib.suppress(CatalogUnavailable):
                until = datetime.now(UTC) + _CLAIM
                if due := await self._catalog.import_queue.due_deliveries(_AT_ONCE, until):
                    async with anyio.create_task_group() as group:
                        for one in due:
                            group.start_soon(partial(self._deliver, one))
                    continue
            await anyio.sleep(_LOOK_SECONDS)

    async def _deliver(self, delivery: StoredDelivery) -> None:
        attempted = replace(delivery, attempts=delivery.attempts + 1, status=None, reason="")
        try:
            attempted = replace(attempted, body=delivery.body or await self._body(delivery))
            status = await self._post(attempted)
            accepted = 200 <= status < 300  # noqa: PLR2004  the successful statuses
            attempted = replace(attempted, status=status, state="delivered" if accepted else "waiting")
            again, reason = status != _GONE, "" if accepted else f"The receiver responded with status {status}."
        except ImgserveError as error:
            again, reason = isinstance(error, FetchFailed | CatalogUnavailable), error.detail
        if attempted.state != "delivered":
            attempted = _after_failure(attempted, reason, again=again)
        with contextlib.suppress(CatalogUnavailable):  # then it is due again when its claim ends
            await self._catalog.import_queue.note_delivery(attempted)

    async def _post(self, delivery: StoredDelivery) -> int:
        body, now = delivery.body.encode(), int(time.time())
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "webhook-id": delivery.delivery_id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(await self.secret(), delivery.delivery_id, now, body),
        }
        return await self._sender.post(delivery.url, headers, body)

    async def _body(self, delivery: StoredDelivery) -> str:
        imports = self._catalog.imports
        job = await imports.get(delivery.job)
        data: dict[str, Any] = {"import": delivery.job, "name": job.name if job else ""}
        if delivery.product:
            items, _ = await imports.items(delivery.job, product=delivery.product, limit=_PAGE)
            output = job.output if job else ""
            data |= {"product": delivery.product, "images": [self._image(item, output) for item in items]}
        else:
            counts = (await imports.counts([delivery.job]))[delivery.job]
            data |= {"state": job.state if job else "deleted", "images": sum(counts.values()), "counts": counts}
        return json.dumps({"type": delivery.event, "timestamp": delivery.changed.isoformat(), "data": data})

    def _image(self, item: StoredItem, output: str) -> dict[str, str]:
        return {
            "source": item.url, "state": item.state, "id": item.image_id, "output_url": self._url_of(item, output),
            "reason": item.reason,
        }  # fmt: skip


def _after_failure(delivery: StoredDelivery, reason: str, *, again: bool) -> StoredDelivery:
    if not again or delivery.attempts > len(_PAUSES):
        _logger.warning("the webhook %s could not be called: %s", delivery.url, reason)
        return replace(delivery, state="failed", reason=reason)
    pause = timedelta(seconds=_PAUSES[delivery.attempts - 1])
    return replace(delivery, state="waiting", reason=reason, due=datetime.now(UTC) + pause)
