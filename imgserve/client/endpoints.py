"""Every method of both clients that calls the API, as the call that it sends. `senders` explains the decorators."""

import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Unpack

from imgserve.client import address
from imgserve.client.arguments import (
    Changes,
    Details,
    Filters,
    Listing,
    Step,
    encoded,
    encoded_filters,
    query,
    selection,
    selections,
    step_texts,
    texts,
)
from imgserve.client.call import Batch, Call, Lines, Page, Pages, Response, T, json_call, once, parsed
from imgserve.client.errors import ServerUnreachable
from imgserve.client.files import File, Progress
from imgserve.client.parameters import Parameters
from imgserve.client.records import (
    Deleted,
    Image,
    Made,
    Picture,
    Problem,
    Purged,
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
from imgserve.client.senders import Connected, S, endpoint, stream
from imgserve.client.transport import Retries, TransportSettings
from imgserve.client.uploads import Upload
from imgserve.client.urls import ImageUrls
from imgserve.transform import compose, read_parameters

_PAGE = 500
"""Records per request."""
_EXTENSION = re.compile(r"[A-Za-z0-9]+")


class Endpoints(Connected[S]):
    """The methods of a client of one server.

    Every method raises the errors of `imgserve.errors` that the server responds with, and ServerUnreachable.
    """

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
            retries: how long to repeat calls to a server that is busy or cannot be reached.

        Raises:
            ValueError: the URL or the key is malformed.
        """
        self._settings = TransportSettings.of(base_url, key, timeout, retries)
        self._pictures = ImageUrls(prefix)
        self.sender = self._sender_of(self._settings)

    @abstractmethod
    def _sender_of(self, settings: TransportSettings) -> S:
        """Return the sender of this kind of client."""

    @property
    def urls(self) -> ImageUrls:
        """The URL builder for the server's pictures."""
        return ImageUrls(self._settings.base + self._pictures.base)

    @endpoint
    def upload(
        self,
        file: File,
        *,
        image_id: str | None = None,
        folder: str | None = None,
        progress: Progress | None = None,
        **details: Unpack[Details],
    ) -> Call[Uploaded]:
        """Upload a file, under a chosen id, in a folder by its own name, or by default under an id of its content."""
        return Upload(file, image_id, folder, progress, details).call()

    @endpoint
    def upload_url(
        self, url: str, *, image_id: str | None = None, folder: str | None = None, **details: Unpack[Details]
    ) -> Call[Uploaded]:
        """Let the server download a picture from a URL."""
        values = {"url": url, "id": image_id, "folder": folder, **encoded(details)}
        document = {name: value for name, value in values.items() if value is not None}
        return json_call("POST", address.IMAGES, reader(Uploaded), document=document, slow=True)

    @endpoint
    def put(
        self,
        image_id: str,
        file: File,
        *,
        create_only: bool = False,
        progress: Progress | None = None,
        **details: Unpack[Details],
    ) -> Call[Uploaded]:
        """Upload a file under a chosen id, replacing the image there, or with `create_only` a PreconditionFailed."""
        call = Upload(file, image_id, None, progress, details, replace=True).call()
        return replace(call, headers={"if-none-match": "*"}) if create_only else call

    @endpoint
    def get(self, image_id: str) -> Call[Image]:
        """Return the record of an image."""
        return json_call("GET", address.api_path(image_id), reader(Image))

    @stream
    def find(self, *, limit: int | None = None, **listing: Unpack[Listing]) -> Pages[Image]:
        """Iterate over the images that meet all conditions, at most `limit`, requesting pages as needed."""
        size = _PAGE if limit is None else max(1, min(limit, _PAGE))
        return _pages(address.IMAGES, "images", Image, {**encoded_filters(listing), "limit": size}, limit)

    @endpoint
    def similar(self, image_id: str, *, distance: int | None = None, limit: int | None = None) -> Call[list[Similar]]:
        """Return images that look alike, the most similar first; `distance` is the most of 64 bits that differ."""
        path, limits = address.action_path("similar", image_id), query({"distance": distance, "limit": limit})
        return json_call("GET", path, list_reader("images", Similar), query=limits)

    @stream
    def duplicates(self) -> Pages[tuple[Image, ...]]:
        """Iterate over the groups of images of the same bytes."""
        return _pages(address.DUPLICATES, "groups", tuple[Image, ...], {"limit": _PAGE})

    @endpoint
    def tags(self) -> Call[list[TagCount]]:
        """Return every tag."""
        return json_call("GET", address.TAGS, list_reader("tags", TagCount))

    @endpoint
    def change(self, image_id: str, **changes: Unpack[Changes]) -> Call[Image]:
        """Change the record of an image; a new focal point applies to all crops at once."""
        if not changes:
            raise ValueError("expected something to change, such as title=")
        return json_call("PATCH", address.api_path(image_id), reader(Image), document=encoded(changes))

    @endpoint
    def delete(self, image_id: str) -> Call[Deleted]:
        """Move an image to the trash."""
        read = list_reader("deleted", Deleted)
        return json_call("DELETE", address.api_path(image_id), lambda document: read(document)[0])

    @endpoint
    def delete_many(self, ids: Iterable[str] | None = None, **filters: Unpack[Filters]) -> Batch[list[Deleted]]:
        """Move many images to the trash, selected by ids or by filters."""
        return _bulk(address.BULK_DELETE, list_reader("deleted", Deleted), [], ids, filters)

    @endpoint
    def tag_many(
        self,
        ids: Iterable[str] | None = None,
        *,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        **filters: Unpack[Filters],
    ) -> Batch[int]:
        """Add tags to many images and remove others; return how many images changed."""
        changed, added, removed = (lambda of: int(of["changed"])), texts("add", add), texts("remove", remove)
        return _bulk(address.BULK_TAG, changed, 0, ids, filters, add=added, remove=removed)

    @endpoint
    def purge(
        self,
        image_id: str | None = None,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        preset: str | None = None,
        everything: bool = False,
    ) -> Call[Purged]:
        """Purge the renditions of one image, below a prefix, of a tag, of a preset, or all."""
        named = {"id": image_id, "prefix": prefix, "tag": tag, "preset": preset, "all": everything or None}
        document = {name: value for name, value in named.items() if value is not None}
        if len(document) != 1:
            raise ValueError("purge: expected one of an image id, prefix=, tag=, preset= and everything=True")
        if image_id is not None:
            return json_call("POST", address.action_path("purge", image_id), reader(Purged))
        return json_call("POST", address.PURGE, reader(Purged), document=document, slow=True)

    @endpoint
    def purge_many(self, ids: Iterable[str] | None = None, **filters: Unpack[Filters]) -> Batch[Purged]:
        """Purge the renditions of many images, selected by ids or by filters."""
        return _bulk(address.BULK_PURGE, reader(Purged), Purged(0, 0), ids, filters)

    @endpoint
    def trash(self) -> Call[list[TrashItem]]:
        """Return the deleted images that can be restored."""
        return json_call("GET", address.TRASH, list_reader("items", TrashItem))

    @endpoint
    def restore(self, item: str) -> Call[Image]:
        """Restore an item of the trash."""
        return json_call("POST", f"{address.trash_path(item)}/restore", reader(Image))

    @endpoint
    def empty_trash(self, item: str | None = None) -> Call[None]:
        """Delete one item of the trash for good, or all."""
        return json_call("DELETE", address.TRASH if item is None else address.trash_path(item), lambda _: None)

    @stream
    def problems(self, prefix: str = "") -> Pages[Problem]:
        """Iterate over the files among the originals that are not usable images."""
        return _pages(address.PROBLEMS, "problems", Problem, {"prefix": prefix or None, "limit": _PAGE})

    @endpoint
    def stats(self) -> Call[Stats]:
        """Return totals of the server."""
        return json_call("GET", address.STATS, reader(Stats))

    @endpoint
    def cache_stats(self) -> Call[Mapping[str, Any]]:
        """Return totals of the cache, tier by tier."""
        return json_call("GET", address.CACHE, dict)

    @endpoint
    def convert(self, image_id: str, extension: str, **parameters: Unpack[Parameters]) -> Call[Picture]:
        """Return a picture in the format of a file extension."""
        plain = extension.removeprefix(".")
        if not _EXTENSION.fullmatch(plain):
            raise ValueError(f"extension: expected one such as webp, but received {extension!r}")
        path, text = address.action_path(f"convert/{plain}", image_id), compose(read_parameters(parameters))
        return Call(method="GET", path=f"{path}?{text}" if text else path, read=_picture)

    @endpoint
    def transform(self, image_id: str, steps: Step | Iterable[Step]) -> Call[Picture]:
        """Return a picture made in steps, each of which continues with the result of the one before."""
        path, document = address.action_path("transform", image_id), {"steps": step_texts(steps), "output": "picture"}
        return Call(method="POST", path=path, read=_picture, document=document, headers=once())

    @endpoint
    def transform_url(self, image_id: str, steps: Step | Iterable[Step]) -> Call[str]:
        """Return the URL of such a picture."""
        path, document = address.action_path("transform", image_id), {"steps": step_texts(steps), "output": "url"}
        return json_call("POST", path, lambda response: str(response["url"]), document=document)

    @endpoint
    def transform_original(
        self, image_id: str, steps: Step | Iterable[Step], *, new_id: str | None = None
    ) -> Call[Uploaded]:
        """Store such a picture as a new original."""
        named = {} if new_id is None else {"id": new_id}
        document = {"steps": step_texts(steps), "output": "original", **named}
        path = address.action_path("transform", image_id)
        return json_call("POST", path, reader(Uploaded), document=document, slow=True)

    @endpoint
    def transform_many(
        self,
        steps: Step | Iterable[Step],
        ids: Iterable[str] | None = None,
        *,
        output: Literal["urls", "originals"] = "urls",
        **filters: Unpack[Filters],
    ) -> Batch[list[Made]]:
        """Return the URLs of such pictures of many images, or store them as new originals."""
        read = list_reader("results", Made)
        return _bulk(address.TRANSFORM, read, [], ids, filters, steps=step_texts(steps), output=output)

    @endpoint
    def transform_zip(
        self,
        steps: Step | Iterable[Step],
        ids: Iterable[str] | None = None,
        *,
        to: str | Path,
        **filters: Unpack[Filters],
    ) -> Call[None]:
        """Write such pictures of many images to a ZIP file, which appears only when it is complete."""
        document = {**selection(ids, filters), "steps": step_texts(steps), "output": "zip"}
        return replace(_slow_post(address.TRANSFORM, document, lambda _: None), save_to=Path(to))

    @stream
    def warm(
        self,
        ids: Iterable[str] | None = None,
        *,
        presets: Iterable[str] = (),
        transforms: Step | Iterable[Step] = (),
        **filters: Unpack[Filters],
    ) -> Lines[Warmed]:
        """Render pictures ahead of time while this is iterated, and report the progress."""
        pictures = {"presets": texts("presets", presets), "transforms": step_texts(transforms)}
        if not any(pictures.values()):
            raise ValueError("warm: expected presets or transforms, but received neither")
        call = _slow_post(address.WARM, {**selection(ids, filters), **pictures}, lambda response: response)
        return Lines(call, _progress, _check_finished)

    @endpoint
    def picture(self, image_id: str, **parameters: Unpack[Parameters]) -> Call[Picture]:
        """Return a picture as browsers receive it."""
        return Call(method="GET", path=self._pictures.url(image_id, **parameters), read=_picture, public=True)


def _pages(path: str, name: str, kind: type[T], filters: Mapping[str, Any], limit: int | None = None) -> Pages[T]:
    """Return a list that the API has under a name."""

    def page(cursor: str | None) -> Call[Page[T]]:
        return json_call("GET", path, page_reader(name, kind), query=query({**filters, "cursor": cursor}))

    return Pages(page, limit)


def _bulk(
    path: str, read: Any, empty: T, ids: Iterable[str] | None, filters: Mapping[str, Any], **more: Any
) -> Batch[T]:
    """Return calls for selected images, in parts of the size that a server accepts."""
    documents = [{**part, **more} for part in selections(ids, filters)]
    return Batch(tuple(json_call("POST", path, read, document=one, slow=True) for one in documents), empty)


def _slow_post(path: str, document: Mapping[str, Any], read: Any) -> Call[Any]:
    return Call(method="POST", path=path, read=read, document=document, headers=once(), slow=True)


def _picture(response: Response) -> Picture:
    media_type = response.headers["content-type"]
    if not media_type.startswith("image/"):
        raise ValueError(f"expected a picture, but received {media_type}")
    return Picture(response.content, media_type, response.headers.get("x-image-adjusted", ""))


def _progress(line: str) -> Warmed:
    return parsed(f"warm: {line[:80]!r}", lambda text: reader(Warmed)(json.loads(text)), line)


def _check_finished(last: Warmed | None) -> None:
    if last is None or not last.finished:
        raise ServerUnreachable("warm: the answer broke off before all was done")
