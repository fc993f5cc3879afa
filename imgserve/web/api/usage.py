"""The endpoint that lists who causes rejections, new renditions and traffic."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from imgserve.access.abuse import BYTES, COLD, REJECTIONS
from imgserve.access.keys import Scope
from imgserve.catalog import Usage
from imgserve.records import UsageCount
from imgserve.web.api.endpoint import endpoint
from imgserve.web.api.messages import ResponseModel
from imgserve.web.api.requests import Limit, RequestModel

KEPT = timedelta(days=7)
"""How long counts are stored."""
_HOURS = int(KEPT.total_seconds()) // 3600
_WHAT = {"rejected": REJECTIONS, "cold": (COLD,), "bytes": (BYTES,)}


class UsageQuery(RequestModel):
    """Which counts to list."""

    what: Literal["rejected", "cold", "bytes"] = "rejected"
    """Rejected requests, renditions made for a request (cold), or bytes sent, without hits in memory."""
    by: Literal["client", "referrer", "image"] = "client"
    """For whom: the address of a client (of IPv6 its /64 network), the host of a referring page, or an image."""
    hours: Annotated[int, Field(ge=1, le=_HOURS)] = 24
    """For how long, including the current hour."""
    limit: Limit = 50
    """Maximum number of subjects."""


class UsageCountOut(ResponseModel, record=UsageCount):
    """What one subject has caused."""


class UsageOut(ResponseModel):
    """The subjects with the largest counts."""

    subjects: list[UsageCountOut]
    """The largest first."""


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The endpoint of counts."""

    usage: Usage

    @endpoint("GET", "/api/usage", Scope.ADMIN, "List who causes rejections and load", tag="access")
    async def top(self, query: UsageQuery) -> UsageOut:
        """Return the clients, referrers or images with the largest counts; they are at most about ten seconds old."""
        since = datetime.now(UTC) - timedelta(hours=query.hours - 1)
        found = await self.usage.top(_WHAT[query.what], query.by, since=since, limit=query.limit)
        return UsageOut(subjects=[UsageCountOut.model_validate(one) for one in found])
