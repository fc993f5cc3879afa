"""Every method of both clients that calls the API. `transport` explains the decorators."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Unpack
from urllib.parse import quote

import httpx2

from imgserve.client.arguments import (
    Changes,
    Details,
    Filters,
    Listing,
    Upload,
    encoded,
    encoded_filters,
    given,
    query,
    texts,
    upload_call,
)
from imgserve.client.errors import ServerUnreachable
from imgserve.client.files import File, Progress
from imgserve.client.imports import ImportEndpoints
from imgserve.client.records import ApiKey, Image, Made, Sent, Similar, Uploaded, list_reader, reader
from imgserve.client.transport import Retries, S, Sender, endpoint, stream
from imgserve.client.urls import ImageUrls
from imgserve.errors import Forbidden, ImgserveError, Unauthorized
from imgserve.http.headers import api_path, encoded_id
from imgserve.records import (
    AuditEntry,
    Deleted,
    PresetRecord,
    Problem,
    Purged,
    RenderProblem,
    Stats,
    StoredRendition,
    TagCount,
    TrashItem,
    UsageCount,
)


class Endpoints(ImportEndpoints[S]):
    """The methods of a client of one server.

    Every method raises the errors of `imgserve.errors` that the server responds with, and ServerUnreachable.
    """

    _http: type[httpx2.Client] | type[httpx2.AsyncClient]

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        prefix: str = "/img",
        timeout: float = 60.0,
        retries: Retries | None = None,
    ) -> None:
        """Connect to a server with the first call.

        Args:
            base_url: such as https://img.example.com.
            key: the API key; by default the environment's IMGSERVE_KEY, if set.
            prefix: of the server's pictures, `urls.prefix` in its settings.
            timeout: seconds without any bytes of the server before a call fails.
            retries: how long to repeat calls to a server that is busy or cannot be reached any more.

        Raises ValueError if the URL or the key is malformed.
        """
        self._pictures = ImageUrls(prefix)
        self.sender = Sender(self._http(follow_redirects=False), base_url, key, timeout, retries)

    @property
    def urls(self) -> ImageUrls:
        """The URL builder for the server's pictures."""
        return ImageUrls(self.sender.base + self._pictures.base)

    @endpoint
    async def upload(
        self,
        file: File,
        *,
        image_id: str | None = None,
        folder: str | None = None,
        progress: Progress | None = None,
        **details: Unpack[Details],
    ) -> Uploaded:
        """Upload a file, under a chosen id, in a folder by its own name, or by default under an id of its content."""
        return await self.sender.send(upload_call(Upload(file, image_id, folder, progress, details)))

    @endpoint
    async def upload_url(
        self, url: str, *, image_id: str | None = None, folder: str | None = None, **details: Unpack[Details]
    ) -> Uploaded:
        """Add a picture that the server downloads from a URL."""
        document = given({"url": url, "id": image_id, "folder": folder, **encoded(details)})
        return await self._json("POST", "/api/images", reader(Uploaded), document=document, slow=True)

    @endpoint
    async def put(
        self,
        image_id: str,
        file: File,
        *,
        create_only: bool = False,
        progress: Progress | None = None,
        **details: Unpack[Details],
    ) -> Uploaded:
        """Upload a file under a chosen id, replacing the image there, or with `create_only` a PreconditionFailed."""
        headers = {"if-none-match": "*"} if create_only else {}
        return await self.sender.send(
            upload_call(Upload(file, image_id, None, progress, details, replace=True), headers)
        )

    @endpoint
    async def get(self, image_id: str) -> Image:
        """Return the record of an image."""
        return await self._json("GET", api_path(image_id), reader(Image))

    @stream
    def find(self, *, limit: int | None = None, **listing: Unpack[Listing]) -> AsyncGenerator[Image]:
        """Iterate over the images that meet all conditions, at most `limit`, requesting pages as needed."""
        return self._pages("/api/images", "images", Image, encoded_filters(listing), limit)

    @endpoint
    async def similar(self, image_id: str, *, distance: int | None = None, limit: int | None = None) -> list[Similar]:
        """Return images that look alike, the most similar first; `distance` is the most of 64 bits that differ."""
        path, limits = f"/api/similar/{encoded_id(image_id)}", query({"distance": distance, "limit": limit})
        return await self._json("GET", path, list_reader("images", Similar), query=limits)

    @stream
    def duplicates(self) -> AsyncGenerator[tuple[Image, ...]]:
        """Iterate over the groups of images of the same bytes."""
        return self._pages("/api/duplicates", "groups", tuple[Image, ...])

    @endpoint
    async def tags(self) -> list[TagCount]:
        """Return every tag."""
        return await self._json("GET", "/api/tags", list_reader("tags", TagCount))

    @stream
    def folders(self, prefix: str = "") -> AsyncGenerator[str]:
        """Iterate over the folders directly below a prefix: starts of image ids that end with a slash."""
        return self._pages("/api/folders", "folders", str, {"prefix": prefix or None})

    @endpoint
    async def count(self, **filters: Unpack[Filters]) -> int:
        """Return the number of images that meet all conditions."""
        return await self._json(
            "GET", "/api/totals", lambda found: int(found["images"]), query=query(encoded_filters(filters))
        )

    @endpoint
    async def change(self, image_id: str, **changes: Unpack[Changes]) -> Image:
        """Change the record of an image; a new focal point applies to all crops at once."""
        if not changes:
            raise ValueError("expected something to change, such as title=")
        return await self._json("PATCH", api_path(image_id), reader(Image), document=encoded(changes))

    @endpoint
    async def move(self, image_id: str, to: str) -> Image:
        """Move an image to another id, to which its old URLs redirect for a time; return its record."""
        return await self._json("POST", f"/api/move/{encoded_id(image_id)}", reader(Image), document={"to": to})

    @endpoint
    async def move_many(self, prefix: str, to: str) -> list[Made]:
        """Move all images whose id starts with a prefix, such as a folder, to another one."""
        document = {"prefix": prefix, "to": to}
        return await self._json("POST", "/api/move", list_reader("results", Made), document=document, slow=True)

    @endpoint
    async def delete(self, image_id: str) -> Deleted:
        """Move an image to the trash."""
        [deleted] = await self._json("DELETE", api_path(image_id), list_reader("deleted", Deleted))
        return deleted

    @endpoint
    async def delete_many(self, ids: Iterable[str] | None = None, **filters: Unpack[Filters]) -> list[Deleted]:
        """Move many images to the trash, selected by ids or by filters."""
        return await self._bulk("/api/bulk/delete", list_reader("deleted", Deleted), [], ids, filters)

    @endpoint
    async def tag_many(
        self,
        ids: Iterable[str] | None = None,
        *,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        **filters: Unpack[Filters],
    ) -> int:
        """Add tags to many images and remove others; return how many images changed."""
        tags = {"add": texts("add", add), "remove": texts("remove", remove)}
        return await self._bulk("/api/bulk/tag", lambda document: int(document["changed"]), 0, ids, filters, **tags)

    @endpoint
    async def purge(
        self,
        image_id: str | None = None,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        preset: str | None = None,
        everything: bool = False,
        mezzanines: bool = False,
    ) -> Purged:
        """Purge the renditions of one image, below a prefix, of a tag, of a preset, or all; also mezzanines if set."""
        document = given({"id": image_id, "prefix": prefix, "tag": tag, "preset": preset, "all": everything or None})
        if len(document) != 1:
            raise ValueError("purge: expected one of an image id, prefix=, tag=, preset= and everything=True")
        if image_id is not None:
            path, options = f"/api/purge/{encoded_id(image_id)}", query({"mezzanines": mezzanines or None})
            return await self._json("POST", path, reader(Purged), query=options)
        document |= given({"mezzanines": mezzanines or None})
        return await self._json("POST", "/api/purge", reader(Purged), document=document, slow=True)

    @endpoint
    async def renditions(self, image_id: str) -> list[StoredRendition]:
        """Return the stored renditions of an image, the last used first."""
        path = f"/api/renditions/{encoded_id(image_id)}"
        return await self._json("GET", path, list_reader("renditions", StoredRendition))

    @endpoint
    async def purge_rendition(self, image_id: str, name: str) -> Purged:
        """Purge one rendition of an image by its name in the list."""
        path = f"/api/renditions/{encoded_id(image_id)}"
        return await self._json("DELETE", path, reader(Purged), query=query({"name": name}))

    @endpoint
    async def purge_many(
        self, ids: Iterable[str] | None = None, *, mezzanines: bool = False, **filters: Unpack[Filters]
    ) -> Purged:
        """Purge the renditions of many images, selected by ids or by filters; also their mezzanines if set."""
        more = given({"mezzanines": mezzanines or None})
        return await self._bulk("/api/bulk/purge", reader(Purged), Purged(0, 0), ids, filters, **more)

    @endpoint
    async def trash(self) -> list[TrashItem]:
        """Return the deleted images that can be restored."""
        return await self._json("GET", "/api/trash", list_reader("items", TrashItem))

    @endpoint
    async def restore(self, item: str) -> Image:
        """Restore an item of the trash."""
        return await self._json("POST", f"/api/trash/{quote(item, safe='')}/restore", reader(Image))

    @endpoint
    async def empty_trash(self, item: str | None = None) -> None:
        """Delete one item of the trash for good, or all."""
        path = "/api/trash" if item is None else f"/api/trash/{quote(item, safe='')}"
        await self._json("DELETE", path, lambda _: None)

    @stream
    def problems(self, prefix: str = "") -> AsyncGenerator[Problem]:
        """Iterate over the files among the originals that are not usable images."""
        return self._pages("/api/problems", "problems", Problem, {"prefix": prefix or None})

    @endpoint
    async def stats(self) -> Stats:
        """Return totals of the server."""
        return await self._json("GET", "/api/stats", reader(Stats))

    @endpoint
    async def render_problems(self, *, slow: bool = False, limit: int = 50) -> list[RenderProblem]:
        """Return the renditions that failed lately, or those that were slow, the latest first."""
        pairs = query({"slow": slow, "limit": limit})
        return await self._json("GET", "/api/problems/renders", list_reader("renditions", RenderProblem), query=pairs)

    @endpoint
    async def usage(
        self, what: str = "rejected", *, by: str = "client", hours: int = 24, limit: int = 50
    ) -> list[UsageCount]:
        """Return who causes rejections (`rejected`), new renditions (`cold`) or traffic (`bytes`), the most first.

        `by` is client, referrer or image.
        """
        pairs = query({"what": what, "by": by, "hours": hours, "limit": limit})
        return await self._json("GET", "/api/usage", list_reader("subjects", UsageCount), query=pairs)

    @endpoint
    async def cache_stats(self) -> Mapping[str, Any]:
        """Return totals of the cache, tier by tier."""
        return await self._json("GET", "/api/cache", dict)

    @endpoint
    async def keys(self) -> list[ApiKey]:
        """Return the API keys."""
        return await self._json("GET", "/api/keys", list_reader("keys", ApiKey))

    @endpoint
    async def create_key(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        prefixes: Iterable[str] = (),
        presets: Iterable[str] = (),
        site: str = "",
        expires: datetime | None = None,
    ) -> ApiKey:
        """Create an API key; only this result contains the key itself."""
        document = {
            "name": name,
            "scopes": list(scopes),
            "prefixes": list(prefixes),
            "presets": list(presets),
            "site": site,
            "expires": None if expires is None else expires.isoformat(),
        }
        return await self._json("POST", "/api/keys", reader(ApiKey), document=document)

    @endpoint
    async def revoke_key(self, key_id: str) -> None:
        """Revoke an API key, which servers reject within a second."""
        await self._json("DELETE", f"/api/keys/{quote(key_id, safe='')}", lambda _: None)

    @endpoint
    async def presets(self) -> list[PresetRecord]:
        """Return the presets, without those of sites."""
        return await self._json("GET", "/api/presets", list_reader("presets", PresetRecord))

    @endpoint
    async def set_preset(self, name: str, parameters: str | Mapping[str, Any]) -> PresetRecord:
        """Create or replace a preset, which servers use within a second."""
        document = {"parameters": parameters if isinstance(parameters, str) else dict(parameters)}
        return await self._json("PUT", f"/api/presets/{quote(name, safe='')}", reader(PresetRecord), document=document)

    @endpoint
    async def remove_preset(self, name: str) -> None:
        """Remove a preset of the catalog."""
        await self._json("DELETE", f"/api/presets/{quote(name, safe='')}", lambda _: None)

    @stream
    def audit(
        self, *, target: str = "", actor: str = "", action: str = "", limit: int | None = None
    ) -> AsyncGenerator[AuditEntry]:
        """Iterate over the audit log from the newest call: of an object, a caller or an operation, or of all."""
        filters = {"target": target or None, "actor": actor or None, "action": action or None}
        return self._pages("/api/audit", "entries", AuditEntry, filters, limit)

    async def _sent(self, file: File | Upload, folder: str | None, details: Details) -> Sent:
        """Upload one of many files by its own arguments; raise ImgserveError if all other files would fail too."""
        item = file if isinstance(file, Upload) else Upload(file)
        below = None if item.image_id is not None else item.folder or folder
        try:
            merged = replace(item, folder=below, details=Details(**{**details, **item.details}))
            uploaded = await self.sender.send(upload_call(merged))
            return Sent(item.name, uploaded)
        except (ImgserveError, OSError, TypeError, ValueError) as error:
            if isinstance(error, (ServerUnreachable, Unauthorized)) or type(error) is Forbidden:
                raise
            return Sent(item.name, None, error)
