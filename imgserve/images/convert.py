"""Convert and transform images for API clients, one image or a selection of them."""

import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from anyio import to_thread

from imgserve.catalog import ImageSearch, Selection
from imgserve.errors import BadRequest, BadTransform, ImgserveError, MarkNotFound, OriginalChanged, quoted
from imgserve.formats import BY_EXTENSION, BY_MEDIA_TYPE, FORMATS, default_output
from imgserve.geometry.box import Size
from imgserve.geometry.faces import with_faces
from imgserve.http.headers import AcceptClass
from imgserve.images.batches import count, each, map_ordered, retry_transient
from imgserve.images.locate import Found, Locator
from imgserve.images.renditions import Renditions, Served
from imgserve.images.resolve import RenditionRequest, Resolver, Sees, choose_format
from imgserve.images.settings import QuerySettings
from imgserve.model import Original, Rendition, file_version
from imgserve.originals.folder import reading_original
from imgserve.transform import ParsedQuery, Transform, compose_chain, parse_query
from imgserve.transform.pairs import split_chain

T = TypeVar("T")
Count = Callable[[], Awaitable[None]]
"""Counts a picture that has to be rendered, or raises RateLimited."""

MOST_STEPS = 16
ORIGINAL_STEPS = ("format=original",)
"""Stands for the untouched original."""
_PIECE = 1 << 20
_ENCODING = ("format", "quality", "max_bytes", "lossless", "progressive", "chroma", "colors", "auto")
"""Parameters of the encoding, which do not change what a picture shows."""
_ATTEMPTS = 5
"""Attempts while an original changes during the work, or negotiated formats are dropped."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Transforms that are applied one after the other, each to the result of the one before."""

    queries: tuple[str, ...]
    parsed: tuple[ParsedQuery, ...]

    def transforms(self, original: Original, accepted: AcceptClass) -> list[Transform]:
        """Return the transforms; the last one has the format of the result.

        If the last step names no format, it inherits format and encoding from the last step that does.
        """
        *earlier, last = (parsed.transform for parsed in self.parsed)
        named = (item for item in reversed(self.parsed) if item.transform.format or item.transform.negotiates)
        naming = next(named, self.parsed[-1])
        if naming is not self.parsed[-1]:
            given = self.parsed[-1].given
            inherited = {name: getattr(naming.transform, name) for name in _ENCODING if name not in given}
            last = replace(last, **inherited)
        name = last.format
        if last.negotiates:
            # The size of the result is not known here, so AVIF is only used if it is named.
            chosen = choose_format(accepted, original.format, 0, 0)
            name = chosen.name if chosen.name in accepted or name is None else name
        name = name or default_output(original.format).name
        return [*earlier, replace(last, format=name, auto=last.auto - {"format", "best"})]


@dataclass(frozen=True, slots=True)
class Converted:
    """A picture and the original that it was made from."""

    original: Original
    rendition: Rendition
    notes: tuple[str, ...] = ()
    """Deviations from the request."""
    served: Served | None = None
    """Where it came from, if that is reported."""

    @property
    def extension(self) -> str:
        """The file name extension of its format."""
        return BY_MEDIA_TYPE[self.rendition.media_type].extensions[0]


async def read_original(
    original: Original, forget: Callable[[str], None], first: int = 0, last: int | None = None
) -> AsyncGenerator[bytes]:
    """Return the bytes of an original from the first to the last one, in pieces; an outdated one is forgotten.

    Raises:
        ImageNotFound: there is no such file any more.
        OriginalChanged, Unavailable: it cannot be read now.
    """
    stack = contextlib.ExitStack()
    file = await to_thread.run_sync(stack.enter_context, reading_original(original.path))
    state = os.fstat(file.fileno())
    if file_version(state.st_mtime_ns, state.st_size) != original.file_version:
        stack.close()
        forget(original.image_id)
        raise OriginalChanged(retry_after=1)
    file.seek(first)

    async def pieces() -> AsyncGenerator[bytes]:
        left = (original.size if last is None else last + 1) - first
        with stack:
            while piece := await to_thread.run_sync(file.read, min(_PIECE, left)):
                left -= len(piece)
                yield piece

    return pieces()


class Converter:
    """Makes pictures of originals by their exact ids. Pictures that a URL can request are cached as for that URL."""

    def __init__(self, locator: Locator, resolver: Resolver, renditions: Renditions) -> None:
        self._locator = locator
        self._resolver = resolver
        self._renditions = renditions

    def read(self, queries: list[str]) -> Steps:
        """Parse the steps of a transform, or raise BadTransform with every mistake in every step.

        A query may be a chain.
        """
        if len(queries) > 1:
            queries = [step for query in queries for step in split_chain(query)]
        if tuple(queries) == ORIGINAL_STEPS:
            return Steps(ORIGINAL_STEPS, (self._resolver.parse(""),))
        if not 1 <= len(queries) <= MOST_STEPS:
            raise BadTransform([f"steps: expected 1 to {MOST_STEPS}, but received {len(queries)}"])
        parsed, mistakes = list[ParsedQuery](), list[str]()
        for number, query in enumerate(queries, start=1):
            try:
                parsed.append(self._resolver.parse(query))
            except BadTransform as error:
                prefix = f"step {number}: " if len(queries) > 1 else ""
                mistakes += [prefix + mistake for mistake in error.mistakes]
        if mistakes:
            raise BadTransform(mistakes)
        return Steps(tuple(queries), tuple(parsed))

    async def preview(
        self, image_id: str, query: bytes, accepted: AcceptClass, *, settings: QuerySettings, count: Count, sees: Sees
    ) -> Converted:
        """Return the picture that a URL with a query requests by some settings, and where it came from.

        Raises:
            BadTransform: with every mistake in the query.
            ImgserveError: the picture cannot be made.
        """

        async def work(found: Found) -> Converted:
            request = await self._resolver.request(found, query, accepted, strict=True, settings=settings)
            return await self._one(request, sees, count)

        return await self._while_it_changes(image_id, work)

    async def convert(
        self,
        image_id: str,
        extension: str,
        query: str,
        accepted: AcceptClass,
        *,
        settings: QuerySettings,
        count: Count,
        sees: Sees,
    ) -> Converted:
        """Return a picture in the format of an extension, with the presets and limits of some settings.

        Raises:
            BadTransform: the format is unknown or cannot be written, or the query names another one.
            ImgserveError: the picture cannot be made.
        """
        form = BY_EXTENSION.get(extension.lower())
        if form is None or not form.writable:
            known = ", ".join(item.name for item in FORMATS.values() if item.writable)
            raise BadTransform([f"format: expected one of {known}, but received {quoted(extension)}"])
        name = form.name
        parsed = parse_query(query, strict=True, presets=settings.presets, max_side=settings.max_side).transform
        if parsed.negotiates or parsed.format not in {None, name}:
            raise BadTransform([f"format: the path asks for {name}, and the query for another"])

        async def work(found: Found) -> Converted:
            found = replace(found, format=name)
            request = await self._resolver.request(found, query, accepted, strict=True, settings=settings)
            return await self._one(request, sees, count)

        return await self._while_it_changes(image_id, work)

    async def original(self, image_id: str) -> Original:
        """Return an original, or raise ImageNotFound."""
        return (await self._locator.find_exactly(image_id)).original

    async def read_bytes(self, original: Original, first: int = 0, last: int | None = None) -> AsyncGenerator[bytes]:
        """Return the bytes of an original as `read_original` does."""
        return await read_original(original, self._locator.forget, first, last)

    async def picture(self, image_id: str, steps: Steps, sees: Sees, accepted: AcceptClass = ()) -> Converted:
        """Return the picture that one or several steps make, with marks that the caller may see.

        Raises:
            BadTransform: a step does not fit the picture of the step before.
            ImgserveError: the picture cannot be made.
        """
        if steps.queries == ORIGINAL_STEPS:
            original = await self.original(image_id)
            self._renditions.settings.check_size(original)
            data = b"".join([piece async for piece in await self.read_bytes(original)])
            return Converted(original, Rendition(data, original.format.media_type, original.width, original.height))
        return await self._while_it_changes(image_id, lambda found: self._picture(found, steps, sees, accepted))

    async def query(self, image_id: str, steps: Steps) -> str:
        """Return the shortest query for the picture of one step.

        Raises:
            BadTransform: no URL can express the steps.
            ImageNotFound: there is no such image.
        """
        *earlier, last = steps.parsed
        inherits = last.transform.format is None and any(step.transform.format for step in earlier)
        if inherits or steps.queries == ORIGINAL_STEPS:
            raise BadTransform([f"steps: expected a rendition for a URL, but received {', '.join(steps.queries)}"])
        await self._locator.find_exactly(image_id)
        return "&then&".join(compose_chain("&then&".join(steps.queries)))

    async def _picture(self, found: Found, steps: Steps, sees: Sees, accepted: AcceptClass) -> Converted:
        free = self._resolver.free  # who may transform may request any picture
        if len(steps.queries) == 1:
            request = await self._resolver.request(found, steps.queries[0], accepted, strict=True, settings=free)
            return await self._one(request, sees)
        transforms = steps.transforms(found.original, accepted)
        original, transforms = await self._resolver.marked(found.original, transforms)
        for step, transform in zip(steps.parsed, transforms, strict=True):
            if "mark" in step.named and not sees(transform.mark):
                raise MarkNotFound(members={"mark": transform.mark})
        try:
            first, *then = transforms
            first = with_faces(first, original.faces, Size(original.width, original.height), original.orientation)
            served = await self._renditions.make_chain(original, [first, *then])
        except BadTransform as error:
            # The first step is made like any picture, so its mistakes have no number.
            numbered = (mistake if mistake.startswith("step ") else f"step 1: {mistake}" for mistake in error.mistakes)
            raise BadTransform(list(numbered)) from error
        notes = [note for parsed in steps.parsed for note in parsed.notes]
        return Converted(found.original, served.rendition, (*notes, *served.rendition.notes))

    async def _one(self, request: RenditionRequest, sees: Sees, count: Count | None = None) -> Converted:
        request.check_marks(sees)
        served = await self._renditions.cached(request.key, request.original if request.negotiated else None)
        if served is None:
            if count is not None:
                await count()
            served = await self._renditions.make(
                request.original,
                request.transform,
                request.key,
                negotiated=request.negotiated,
                earlier=request.earlier,
            )
        return Converted(request.original, served.rendition, (*request.query.notes, *served.rendition.notes), served)

    async def _while_it_changes(self, image_id: str, work: Callable[[Found], Awaitable[T]]) -> T:
        """Do work on an original, again if the original is replaced meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                return await work(await self._locator.find_exactly(image_id))
            except OriginalChanged as error:
                self._locator.forget(error.changed or image_id)
        raise OriginalChanged(retry_after=1)


class BulkConverter:
    """Works on every image of a selection, several at a time; an error of one image does not stop the others."""

    def __init__(self, search: ImageSearch, *, at_once: int, most: int) -> None:
        """Work on `at_once` images at a time, and accept at most `most` in a selection."""
        self._search = search
        self._at_once = at_once
        self._most = most

    async def check(self, selection: Selection) -> None:
        """Check the number of images in a selection; raise BadRequest for too many, or CatalogUnavailable."""
        number = await count(selection, self._search)
        if number > self._most:
            raise BadRequest(f"expected at most {self._most} images, the limit bulk_images, but {number} are selected")

    def each(
        self, selection: Selection, work: Callable[[str], Awaitable[T]]
    ) -> AsyncGenerator[tuple[str, T | ImgserveError], None]:
        """Yield the id of each image with its result or error, in the order of the selection."""

        async def one(image_id: str) -> tuple[str, T | ImgserveError]:
            try:
                return image_id, await retry_transient(lambda: work(image_id))
            except ImgserveError as error:
                return image_id, error

        return map_ordered(each(selection, self._search), one, at_once=self._at_once)
