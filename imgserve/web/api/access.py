"""Endpoints of API keys, of the audit log, and of the list of who causes rejections, new renditions and traffic."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from imgserve.access.abuse import BYTES, COLD, REJECTIONS
from imgserve.access.keys import Scope, new_key
from imgserve.access.sites import Sites
from imgserve.catalog import ApiKeys, AuditLog, Usage
from imgserve.errors import BadCursor, BadRequest, KeyNotFound
from imgserve.records import AuditEntry, KeyRecord, UsageCount
from imgserve.transform import Preset
from imgserve.web.api.endpoint import endpoint
from imgserve.web.api.messages import Next, ResponseModel
from imgserve.web.api.requests import ImageId, Limit, Moment, Paging, Prefix, RequestModel

_endpoint = partial(endpoint, tag="access")
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class NewKey(RequestModel):
    """An API key to be created."""

    name: _Name
    """What people call it, such as the program that uses it."""
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=10)]
    """What its holder may do; `admin` includes all others."""
    prefixes: Annotated[list[Prefix], Field(max_length=100)] = Field(default=[])
    """It is for images whose id starts with one of these; none: for all."""
    presets: Annotated[list[str], Field(max_length=100)] = Field(default=[])
    """It requests pictures with these presets only; none: with any parameters."""
    site: Annotated[str, Field(max_length=200)] = ""
    """It is for the images of this site."""
    expires: Moment | None = None
    """When it ends to be valid; null for never."""


class KeyOut(ResponseModel, record=KeyRecord):
    """An API key, without the key itself."""


class CreatedKeyOut(KeyOut):
    """A new API key. The key itself is shown only here."""

    key: str
    """The key, for the header `Authorization: Bearer` or `X-API-Key`."""


class KeysOut(ResponseModel):
    """The valid and expired API keys."""

    keys: list[KeyOut]
    """By name."""


class RevokedOut(ResponseModel):
    """A revoked key."""

    id: str
    """Its id."""


class AuditPaging(Paging):
    """A page of the audit log."""

    target: ImageId = ""
    """Only calls about this image or other object."""
    actor: Annotated[str, Field(max_length=300)] = ""
    """Only calls of this caller, such as `admin` or `key:1f2e3d4c`."""
    action: Annotated[str, Field(max_length=100)] = ""
    """Only this operation, such as `records_delete`."""


class AuditEntryOut(ResponseModel, record=AuditEntry):
    """A management call."""


class AuditOut(ResponseModel):
    """A page of the audit log."""

    entries: list[AuditEntryOut]
    """The newest first."""
    next: Next


@dataclass(frozen=True, slots=True)
class Keys:
    """Endpoints of API keys."""

    keys: ApiKeys
    sites: Sites
    presets: Mapping[str, Preset]
    """All presets by name and alias."""

    @_endpoint("GET", "/api/keys", Scope.ADMIN, "List the API keys")
    async def list(self) -> KeysOut:
        """Return the keys that were not revoked. The admin key is not among them."""
        return KeysOut.model_validate({"keys": await self.keys.all()})

    @_endpoint(
        "POST",
        "/api/keys",
        Scope.ADMIN,
        "Create an API key",
        status=201,
        secret=True,
        example={"name": "shop", "scopes": ["read", "upload"], "prefixes": ["shop/"]},
    )
    async def create(self, body: NewKey) -> CreatedKeyOut:
        """Create a key and return it, the only time that it is shown. Servers accept it within a second."""
        unknown = sorted({preset.lower() for preset in body.presets} - set(self.presets))
        if unknown:
            raise BadRequest(f"presets: there is no preset {', '.join(unknown)}")
        if body.site and body.site not in {site.name for site in self.sites.others if site.folder}:
            raise BadRequest(f"site: there is no site {body.site} with a folder")
        if body.expires is not None and body.expires <= datetime.now(UTC):
            raise BadRequest("expires: expected a time in the future")
        stored, key = new_key(
            body.name,
            body.scopes,
            prefixes=body.prefixes,
            presets={self.presets[preset.lower()].name for preset in body.presets},
            site=body.site,
            expires=body.expires,
        )
        await self.keys.add(stored)
        return CreatedKeyOut.model_validate({**asdict(stored), "key": key})

    @_endpoint("DELETE", "/api/keys/{key_id}", Scope.ADMIN, "Revoke an API key", errors=[KeyNotFound])
    async def revoke(self, key_id: str) -> RevokedOut:
        """Revoke a key by its id. All servers reject it within a second."""
        if not await self.keys.revoke(key_id):
            raise KeyNotFound
        return RevokedOut(id=key_id)


@dataclass(frozen=True, slots=True)
class Audit:
    """The endpoint of the audit log."""

    log: AuditLog

    @_endpoint("GET", "/api/audit", Scope.ADMIN, "Read the audit log", errors=[BadCursor])
    async def list(self, query: AuditPaging) -> AuditOut:
        """Return who changed what, when and from where, the newest first."""
        page = await self.log.page(
            target=query.target, actor=query.actor, action=query.action, limit=query.limit, cursor=query.cursor
        )
        return AuditOut.model_validate({"entries": page.items, "next": page.cursor})


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

    @_endpoint("GET", "/api/usage", Scope.ADMIN, "List who causes rejections and load")
    async def top(self, query: UsageQuery) -> UsageOut:
        """Return the clients, referrers or images with the largest counts; they are at most about ten seconds old."""
        since = datetime.now(UTC) - timedelta(hours=query.hours - 1)
        found = await self.usage.top(_WHAT[query.what], query.by, since=since, limit=query.limit)
        return UsageOut(subjects=[UsageCountOut.model_validate(one) for one in found])
