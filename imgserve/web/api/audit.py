"""Record management calls in the audit log."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request

from imgserve.access.keys import Caller
from imgserve.catalog import AuditLog, Images
from imgserve.errors import CatalogUnavailable
from imgserve.records import AuditEntry
from imgserve.web.api.endpoint import IMAGE_ID, Endpoint
from imgserve.web.api.requests import EDITABLE
from imgserve.web.middleware import KEY, RequestRecord

_logger = logging.getLogger(__name__)
_DESCRIBED = frozenset({"PATCH", "PUT", "DELETE"})
"""Methods that replace what is known about an image."""


class Auditor:
    """Records who changed what. A call that failed is not recorded; the access log has it."""

    def __init__(self, log: AuditLog, images: Images) -> None:
        self._log = log
        self._images = images

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

    async def finish(self, entry: AuditEntry) -> None:
        """Record a call that was made; without the catalog, the log of the server has it."""
        try:
            await self._log.add(entry)
        except CatalogUnavailable:
            _logger.warning("the audit log misses a call: %s of %r by %s", entry.action, entry.target, entry.actor)

    async def _described(self, image_id: str) -> Mapping[str, Any]:
        record = await self._images.get(image_id)
        if record is None:
            return {}
        fields = {name: getattr(record, name) for name in EDITABLE}
        return {name: value for name, value in fields.items() if value}
