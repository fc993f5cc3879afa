"""Every method of both clients that calls the API. `transport` explains the decorators."""

import functools
import json
import operator
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Unpack
from urllib.parse import quote

import httpx2

from imgserve.client.arguments import (
    Changes,
    Details,
    Filters,
    Listing,
    Step,
    Upload,
    encoded,
    encoded_filters,
    query,
    selection,
    selections,
    step_texts,
    texts,
)
from imgserve.client.call import Call, T, json_reader, parsed, query_text
from imgserve.client.errors import ServerUnreachable
from imgserve.client.files import File, Form, Progress, file_body
from imgserve.client.parameters import Parameters
from imgserve.client.records import (
    Deleted,
    Image,
    Made,
    Picture,
    Problem,
    Purged,
    Sent,
    Similar,
    Stats,
    TagCount,
    TrashItem,
    Uploaded,
    Warmed,
    list_reader,
    page_reader,
    reader,
)
from imgserve.client.transport import Connected, Retries, S, Sender, endpoint, stream
from imgserve.client.urls import ImageUrls
from imgserve.errors import Forbidden, ImgserveError, Unauthorized
from imgserve.http.headers import api_path, encoded_id
from imgserve.transform import compose, read_parameters

_PAGE = 500
"""Records per request."""
_EXTENSION = re.compile(r"[A-Za-z0-9]+")
_LONG_QUERY = 2000
"""Bytes; proxies accept URLs of 4 or 8 KB."""


class Endpoints(Connected[S]):
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

        Raises:
            ValueError: the URL or the key is malformed.
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
        return await self._upload(Upload(file, image_id, folder, progress, details))

    @endpoint
    async def upload_url(
        self, url: str, *, image_id: str | None = None, folder: str | None = None, **details: Unpack[Details]
    ) -> Uploaded:
        """Add a picture that the server downloads from a URL."""
        document = _given({"url": url, "id": image_id, "folder": folder, **encoded(details)})
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
        return await self._upload(Upload(file, image_id, None, progress, details, replace=True), headers)

    @endpoint
    async def get(self, image_id: str) -> Image:
        """Return the record of an image."""
        return await self._json("GET", api_path(image_id), reader(Image))

    @stream
    def find(self, *, limit: int | None = None, **listing: Unpack[Listing]) -> AsyncGenerator[Image]:
        """Iterate over the images that meet all conditions, at most `limit`, requesting pages as needed."""
        size = _PAGE if limit is None else max(1, min(limit, _PAGE))
        return self._pages("/api/images", "images", Image, {**encoded_filters(listing), "limit": size}, limit)

    @endpoint
    async def similar(self, image_id: str, *, distance: int | None = None, limit: int | None = None) -> list[Similar]:
        """Return images that look alike, the most similar first; `distance` is the most of 64 bits that differ."""
        path, limits = f"/api/similar/{encoded_id(image_id)}", query({"distance": distance, "limit": limit})
        return await self._json("GET", path, list_reader("images", Similar), query=limits)

    @stream
    def duplicates(self) -> AsyncGenerator[tuple[Image, ...]]:
        """Iterate over the groups of images of the same bytes."""
        return self._pages("/api/duplicates", "groups", tuple[Image, ...], {"limit": _PAGE})

    @endpoint
    async def tags(self) -> list[TagCount]:
        """Return every tag."""
        return await self._json("GET", "/api/tags", list_reader("tags", TagCount))

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
        document = _given({"id": image_id, "prefix": prefix, "tag": tag, "preset": preset, "all": everything or None})
        if len(document) != 1:
            raise ValueError("purge: expected one of an image id, prefix=, tag=, preset= and everything=True")
        if image_id is not None:
            path, options = f"/api/purge/{encoded_id(image_id)}", query({"mezzanines": mezzanines or None})
            return await self._json("POST", path, reader(Purged), query=options)
        document |= _given({"mezzanines": mezzanines or None})
        return await self._json("POST", "/api/purge", reader(Purged), document=document, slow=True)

    @endpoint
    async def purge_many(
        self, ids: Iterable[str] | None = None, *, mezzanines: bool = False, **filters: Unpack[Filters]
    ) -> Purged:
        """Purge the renditions of many images, selected by ids or by filters; also their mezzanines if set."""
        more = _given({"mezzanines": mezzanines or None})
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
        return self._pages("/api/problems", "problems", Problem, {"prefix": prefix or None, "limit": _PAGE})

    @endpoint
    async def stats(self) -> Stats:
        """Return totals of the server."""
        return await self._json("GET", "/api/stats", reader(Stats))

    @endpoint
    async def cache_stats(self) -> Mapping[str, Any]:
        """Return totals of the cache, tier by tier."""
        return await self._json("GET", "/api/cache", dict)

    @endpoint
    async def convert(self, image_id: str, extension: str, **parameters: Unpack[Parameters]) -> Picture:
        """Return a picture in the format of a file extension."""
        plain, text = extension.removeprefix("."), compose(read_parameters(parameters))
        if not _EXTENSION.fullmatch(plain):
            raise ValueError(f"extension: expected one such as webp, but received {extension!r}")
        path = f"/api/convert/{plain}/{encoded_id(image_id)}"
        return await self.sender.send(Call(method="GET", path=f"{path}?{text}" if text else path, read=_picture))

    @endpoint
    async def transform(self, image_id: str, steps: Step | Iterable[Step]) -> Picture:
        """Return a picture made in steps, each of which continues with the result of the one before."""
        path, document = f"/api/transform/{encoded_id(image_id)}", {"steps": step_texts(steps), "output": "picture"}
        return await self.sender.send(Call(method="POST", path=path, read=_picture, document=document))

    @endpoint
    async def transform_url(self, image_id: str, steps: Step | Iterable[Step]) -> str:
        """Return the URL of such a picture."""
        path, document = f"/api/transform/{encoded_id(image_id)}", {"steps": step_texts(steps), "output": "url"}
        return await self._json("POST", path, lambda response: str(response["url"]), document=document)

    @endpoint
    async def transform_original(
        self, image_id: str, steps: Step | Iterable[Step], *, new_id: str | None = None
    ) -> Uploaded:
        """Store such a picture as a new original."""
        document = _given({"steps": step_texts(steps), "output": "original", "id": new_id})
        return await self._json(
            "POST", f"/api/transform/{encoded_id(image_id)}", reader(Uploaded), document=document, slow=True
        )

    @endpoint
    async def transform_many(
        self,
        steps: Step | Iterable[Step],
        ids: Iterable[str] | None = None,
        *,
        output: Literal["urls", "originals"] = "urls",
        **filters: Unpack[Filters],
    ) -> list[Made]:
        """Return the URLs of such pictures of many images, or store them as new originals."""
        read, listed = list_reader("results", Made), step_texts(steps)
        return await self._bulk("/api/transform", read, [], ids, filters, steps=listed, output=output)

    @endpoint
    async def transform_zip(
        self,
        steps: Step | Iterable[Step],
        ids: Iterable[str] | None = None,
        *,
        to: str | Path,
        **filters: Unpack[Filters],
    ) -> None:
        """Write such pictures of many images to a ZIP file, which appears only when it is complete."""
        document = {**selection(ids, filters), "steps": step_texts(steps), "output": "zip"}
        await self.sender.save(
            Call(method="POST", path="/api/transform", read=json_reader(dict), document=document, slow=True), Path(to)
        )

    @endpoint
    async def originals_zip(
        self, ids: Iterable[str] | None = None, *, to: str | Path, **filters: Unpack[Filters]
    ) -> None:
        """Write the originals of many images to a ZIP file, which appears only when it is complete."""
        document = {**selection(ids, filters), "steps": ["format=original"], "output": "zip"}
        await self.sender.save(
            Call(method="POST", path="/api/transform", read=json_reader(dict), document=document, slow=True), Path(to)
        )

    @endpoint
    async def original(self, image_id: str, *, to: str | Path) -> None:
        """Write an original to a file, which appears only when it is complete."""
        path = f"/api/original/{encoded_id(image_id)}"
        await self.sender.save(Call(method="GET", path=path, read=json_reader(dict), slow=True), Path(to))

    @stream
    def warm(
        self,
        ids: Iterable[str] | None = None,
        *,
        presets: Iterable[str] = (),
        transforms: Step | Iterable[Step] = (),
        **filters: Unpack[Filters],
    ) -> AsyncGenerator[Warmed]:
        """Render pictures ahead of time while this is iterated, and report the progress."""
        pictures = {"presets": texts("presets", presets), "transforms": step_texts(transforms)}
        if not any(pictures.values()):
            raise ValueError("warm: expected presets or transforms, but received neither")
        return self._warm({**selection(ids, filters), **pictures})

    @endpoint
    async def picture(self, image_id: str, **parameters: Unpack[Parameters]) -> Picture:
        """Return a picture as browsers receive it."""
        path = self._pictures.url(image_id, **parameters)
        return await self.sender.send(Call(method="GET", path=path, read=_picture, public=True))

    async def _json(self, method: str, path: str, read: Callable[[Any], T], **request: Any) -> T:
        return await self.sender.send(Call(method=method, path=path, read=json_reader(read), **request))

    async def _bulk(
        self,
        path: str,
        read: Callable[[Any], T],
        empty: T,
        ids: Iterable[str] | None,
        filters: Mapping[str, Any],
        **more: Any,
    ) -> T:
        """Send calls for selected images in parts of the size that a server accepts, and add up the results."""
        parts = [
            await self._json("POST", path, read, document={**part, **more}, slow=True)
            for part in selections(ids, filters)
        ]
        return functools.reduce(operator.add, parts, empty)

    async def _pages(
        self, path: str, name: str, kind: type[T], filters: Mapping[str, Any], limit: int | None = None
    ) -> AsyncGenerator[T]:
        """Yield the items of a list that the API has under a name."""
        cursor, left = None, limit
        while left is None or left > 0:
            read, pairs = page_reader(name, kind), query({**filters, "cursor": cursor})
            items, cursor = await self._json("GET", path, read, query=pairs)
            for item in items[:left]:
                yield item
            left = None if left is None else left - len(items)
            if cursor is None:
                return

    async def _warm(self, document: Mapping[str, Any]) -> AsyncGenerator[Warmed]:
        progress = None
        async for line in self.sender.lines(
            Call(method="POST", path="/api/warm", read=json_reader(dict), document=document, slow=True)
        ):
            progress = parsed(f"warm: {line[:80]!r}", lambda text: reader(Warmed)(json.loads(text)), line)
            yield progress
        if progress is None or not progress.finished:
            raise ServerUnreachable("warm: the answer broke off before all was done")

    async def _upload(self, item: Upload, headers: Mapping[str, str] | None = None) -> Uploaded:
        """Send a file as the body, with a query; a long query becomes a form."""
        fields, named = encoded(item.details), {"id": item.image_id, "folder": item.folder}
        replaces = item.replace and item.image_id is not None
        method, path = ("PUT", api_path(item.image_id or "")) if replaces else ("POST", "/api/images")
        fields, body = fields if replaces else {**named, **fields}, file_body(item.file, item.progress)
        pairs = query({**fields, "filename": body.name or None})
        if len(query_text(pairs)) > _LONG_QUERY:
            body, pairs = replace(body, form=Form(query(fields), body.name or "image")), ()
        read = json_reader(reader(Uploaded))
        return await self.sender.send(
            Call(method=method, path=path, read=read, query=pairs, file=body, headers=headers or {})
        )

    async def _sent(self, file: File | Upload, folder: str | None, details: Details) -> Sent:
        """Upload one of many files, whose arguments override those of all.

        Raises:
            ImgserveError: all other files would fail too.
        """
        item = file if isinstance(file, Upload) else Upload(file)
        below = None if item.image_id is not None else item.folder or folder
        try:
            merged = replace(item, folder=below, details=Details(**{**details, **item.details}))
            return Sent(item.name, await self._upload(merged))
        except (ImgserveError, OSError, TypeError, ValueError) as error:
            if isinstance(error, (ServerUnreachable, Unauthorized)) or type(error) is Forbidden:
                raise
            return Sent(item.name, None, error)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _picture(response: httpx2.Response) -> Picture:
    media_type = response.headers["content-type"]
    if not media_type.startswith("image/"):
        raise ValueError(f"expected a picture, but received {media_type}")
    return Picture(response.content, media_type, response.headers.get("x-image-adjusted", ""))
