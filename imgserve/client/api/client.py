"""The client for blocking programs: a method for each call. What they ask and mean stands in the modules of calls."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from imgserve.client.api import images, making, upkeep
from imgserve.client.api.asking import Changes, Details, Filters, Listing, Step
from imgserve.client.api.call import Answer, Call
from imgserve.client.api.files import File, Progress
from imgserve.client.api.line import line
from imgserve.client.api.many import FAILURES, Upload, upload_of
from imgserve.client.api.records import (
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
)
from imgserve.client.api.retrying import Retries
from imgserve.client.api.saving import whole_file
from imgserve.client.api.sender import Sender
from imgserve.client.parameters import Parameters
from imgserve.client.urls import ImageUrls


class Imgserve:
    """A server, asked through its API. Close it, or use it as a context manager; usable from several threads.

    Every method raises the errors of `imgserve.errors` that the server answers with, and ServerUnreachable.
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
        """Take the address of a server.

        Args:
            base_url: such as https://img.example.com.
            key: of the API; without one the environment's IMGSERVE_KEY, if there is one.
            prefix: of its pictures, `urls.prefix` in its settings.
            timeout: seconds without any sign of the server until it is given up.
            retries: how patient to be with a server that is busy or cannot be reached.

        Raises:
            ValueError: it is no address, or no key.
        """
        self._line = line(base_url, key, timeout, retries)
        self._pictures = ImageUrls(prefix)
        self._sender = Sender(self._line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._sender.close()

    @property
    def urls(self) -> ImageUrls:
        """The builder of addresses of its pictures."""
        return ImageUrls(self._line.base + self._pictures.base)

    def upload(
        self,
        file: File,
        *,
        image_id: str | None = None,
        folder: str | None = None,
        progress: Progress | None = None,
        **details: Unpack[Details],
    ) -> Uploaded:
        """Send a file, under a chosen id, below a folder by its own name, or by default under an id of its content."""
        call = images.upload(file, image_id=image_id, folder=folder, progress=progress, **details)
        return self._sender.send(call)

    def upload_many(
        self, files: Iterable[File | Upload], *, folder: str | None = None, **details: Unpack[Details]
    ) -> Iterator[Sent]:
        """Send files one after the other while this is iterated; a bad one does not stop the others."""
        for item in map(upload_of, files):
            try:
                sent = Sent(item.name, self._sender.send(item.call(folder, details)))
            except FAILURES as error:
                sent = item.failed(error)
            yield sent

    def upload_url(
        self, url: str, *, image_id: str | None = None, folder: str | None = None, **details: Unpack[Details]
    ) -> Uploaded:
        """Let the server fetch a picture from an address."""
        return self._sender.send(images.upload_url(url, image_id=image_id, folder=folder, **details))

    def put(
        self,
        image_id: str,
        file: File,
        *,
        create_only: bool = False,
        progress: Progress | None = None,
        **details: Unpack[Details],
    ) -> Uploaded:
        """Send a file to a chosen id, in place of what is there; `create_only` makes that a PreconditionFailed."""
        call = images.put(image_id, file, create_only=create_only, progress=progress, **details)
        return self._sender.send(call)

    def get(self, image_id: str) -> Image:
        """Give what is known about an image."""
        return self._sender.send(images.get(image_id))

    def find(self, *, limit: int | None = None, **listing: Unpack[Listing]) -> Iterator[Image]:
        """Go through the images for which all of this is true, asking for pages as needed; `limit` is the most."""
        size = images.PAGE if limit is None else max(1, min(limit, images.PAGE))
        return self._sender.pages(lambda cursor: images.find(listing, cursor, size), limit)

    def similar(self, image_id: str, *, distance: int | None = None, limit: int | None = None) -> list[Similar]:
        """Give images that look like this one, the most alike first; `distance` is the most of 64 bits that differ."""
        return self._sender.send(images.similar(image_id, distance, limit))

    def duplicates(self) -> Iterator[tuple[Image, ...]]:
        """Go through the groups of images of the same bytes."""
        return self._sender.pages(images.duplicates)

    def tags(self) -> list[TagCount]:
        """Give every tag."""
        return self._sender.send(images.tags())

    def change(self, image_id: str, **changes: Unpack[Changes]) -> Image:
        """Change what is known about an image; a new focal point shows in all crops at once."""
        return self._sender.send(images.change(image_id, **changes))

    def delete(self, image_id: str) -> Deleted:
        """Put an image into the trash."""
        return self._sender.send(images.delete(image_id))

    def delete_many(self, ids: Iterable[str] | None = None, **filters: Unpack[Filters]) -> list[Deleted]:
        """Put many images into the trash, named by ids or by what is true of them."""
        parts = self._sender.send_all(images.delete_many(ids, **filters))
        return [gone for part in parts for gone in part]

    def tag_many(
        self,
        ids: Iterable[str] | None = None,
        *,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        **filters: Unpack[Filters],
    ) -> int:
        """Give tags to many images and take others away; tell how many changed."""
        return sum(self._sender.send_all(images.tag_many(ids, add, remove, **filters)))

    def purge(
        self,
        image_id: str | None = None,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        preset: str | None = None,
        everything: bool = False,
    ) -> Purged:
        """Purge the renditions of one image, below a prefix, of a tag, of a preset, or all."""
        return self._sender.send(upkeep.purge(image_id, prefix=prefix, tag=tag, preset=preset, everything=everything))

    def purge_many(self, ids: Iterable[str] | None = None, **filters: Unpack[Filters]) -> Purged:
        """Purge the renditions of many images, named by ids or by what is true of them."""
        return Purged.sum(self._sender.send_all(upkeep.purge_many(ids, **filters)))

    def trash(self) -> list[TrashItem]:
        """Give what was deleted and can be had back."""
        return self._sender.send(upkeep.trash())

    def restore(self, item: str) -> Image:
        """Take an image back out of the trash, by its item there."""
        return self._sender.send(upkeep.restore(item))

    def empty_trash(self, item: str | None = None) -> None:
        """Give up one item of the trash for good, or all."""
        self._sender.send(upkeep.empty_trash(item))

    def problems(self, prefix: str = "") -> Iterator[Problem]:
        """Go through the files among the originals that are no images."""
        return self._sender.pages(partial(upkeep.problems, prefix))

    def stats(self) -> Stats:
        """Give the server in figures."""
        return self._sender.send(upkeep.stats())

    def cache_stats(self) -> Mapping[str, Any]:
        """Give the figures of the cache, tier by tier."""
        return self._sender.send(upkeep.cache_stats())

    def convert(self, image_id: str, extension: str, **parameters: Unpack[Parameters]) -> Picture:
        """Give a picture in the format of an extension."""
        return self._sender.send(making.convert(image_id, extension, parameters))

    def transform(self, image_id: str, steps: Step | Iterable[Step]) -> Picture:
        """Give a picture made in steps, each of which takes what the one before has made."""
        return self._sender.send(making.transform(image_id, steps))

    def transform_url(self, image_id: str, steps: Step | Iterable[Step]) -> str:
        """Give the address of such a picture."""
        return self._sender.send(making.transform_url(image_id, steps))

    def transform_original(self, image_id: str, steps: Step | Iterable[Step], *, new_id: str | None = None) -> Uploaded:
        """Keep such a picture as a new original."""
        return self._sender.send(making.transform_original(image_id, steps, new_id))

    def transform_many(
        self,
        steps: Step | Iterable[Step],
        ids: Iterable[str] | None = None,
        *,
        output: Literal["urls", "originals"] = "urls",
        **filters: Unpack[Filters],
    ) -> list[Made]:
        """Give the addresses of such pictures of many images, or keep them as new originals."""
        parts = self._sender.send_all(making.transform_many(steps, ids, output, **filters))
        return [made for part in parts for made in part]

    def transform_zip(
        self,
        steps: Step | Iterable[Step],
        ids: Iterable[str] | None = None,
        *,
        to: str | Path,
        **filters: Unpack[Filters],
    ) -> None:
        """Write such pictures of many images into a ZIP file, which is there only when it is whole."""
        with whole_file(Path(to)) as file:
            for piece in self._sender.pieces(making.transform_zip(steps, ids, **filters)):
                file.write(piece)

    def warm(
        self,
        ids: Iterable[str] | None = None,
        *,
        presets: Iterable[str] = (),
        transforms: Step | Iterable[Step] = (),
        **filters: Unpack[Filters],
    ) -> Iterator[Warmed]:
        """Let pictures be made ahead of time while this is iterated, and tell how far that has come."""
        return self._warmed(making.warm(ids, presets, transforms, **filters))

    def picture(self, image_id: str, **parameters: Unpack[Parameters]) -> Picture:
        """Give a picture as browsers get it."""
        return self._sender.send(making.picture(self._pictures.url(image_id, **parameters)))

    def _warmed(self, call: Call[Answer]) -> Iterator[Warmed]:
        last = None
        for told in self._sender.lines(call):
            last = making.warmed_line(told)
            yield last
        making.check_finished(last)
