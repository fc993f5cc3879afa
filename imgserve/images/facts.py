"""The facts of an original for its readers: those of its record, or of an inspection where there is no such record."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cachetools import LRUCache

from imgserve.cache import FailureCache, RenditionKey, SingleFlight
from imgserve.errors import ImgserveError, OriginalUnsettled, UnreadableImage
from imgserve.formats import FORMATS
from imgserve.geometry.box import Size
from imgserve.geometry.plan import Plan
from imgserve.images.locate import CatalogReader
from imgserve.images.renditions import Renditions
from imgserve.model import METADATA, Facts, FileFacts, ImageRecord, Original, bytes_version
from imgserve.pipeline.order import Order, planning_size
from imgserve.rendering.wire import InspectJob
from imgserve.rendering.workers import Workers
from imgserve.transform import Transform

ReadRecord = Callable[[str], Awaitable[ImageRecord | None]]
"""Returns the record of an image; may raise CatalogUnavailable."""
_MAX_CACHED = 10_000
_SWAPPED = {5, 6, 7, 8}


@dataclass(frozen=True, slots=True)
class PublicFacts:
    """What everybody who may see a picture may know of its original."""

    file: FileFacts
    title: str
    alt: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Copyright, creator, credit and time of the photo, as far as they are known."""
    lasting: bool = True
    """False if the catalog could not be read, so that texts may be missing."""


class FactsReader:
    """Reads the facts of originals. An original without a record of its bytes is inspected once."""

    def __init__(self, record: ReadRecord, workers: Workers, renditions: Renditions, failures: FailureCache) -> None:
        self._record = record
        self._workers = workers
        self._renditions = renditions
        self._failures = failures
        self._catalog = CatalogReader()
        self._inspected: LRUCache[tuple[str, str], Facts] = LRUCache(_MAX_CACHED)
        self._flights: SingleFlight[tuple[str, str], Facts] = SingleFlight()

    async def read(self, original: Original) -> PublicFacts:
        """Return the facts of an original.

        Raises:
            OriginalChanged: the original has another version now.
            ImgserveError: it has to be inspected and cannot be.
        """
        record, lasting = await self._catalog.read(lambda: self._record(original.image_id), None)
        if record is None:
            facts = await self._inspect(original)
            return PublicFacts(facts, facts.title, "", facts.metadata, lasting)
        texts = {name: value for name in METADATA if isinstance(value := record.metadata.get(name), str)}
        same = bytes_version(record.version) == original.file_version
        return PublicFacts(record if same else await self._inspect(original), record.title, record.alt, texts, lasting)

    async def known(self, original: Original) -> FileFacts | None:
        """Return the facts of an original, as far as they are known without an inspection; or None."""
        record, _ = await self._catalog.read(lambda: self._record(original.image_id), None)
        if record is not None and bytes_version(record.version) == original.file_version:
            return record
        inspected = self._inspected.get((original.image_id, original.file_version))
        if inspected is not None or not original.megapixels:
            return inspected
        sides = (original.width, original.height)
        width, height = sides[::-1] if original.orientation in _SWAPPED else sides
        return FileFacts(sha256="", format=original.format.name, width=width, height=height, size=original.size)

    def plan(
        self, original: Original, transform: Transform, file: FileFacts, earlier: Sequence[Transform] = ()
    ) -> Plan | None:
        """Return the plan of a rendition, after earlier steps of a chain; or None if it depends on more than the facts.

        May raise BadTransform.
        """
        for step in earlier:
            made = self.plan(original, step, file)
            if made is None:
                return None
            original, frames = self._renditions.after(original, step), file.frames if step.frame is None else 1
            width, height = made.size.width, made.size.height
            file = replace(file, format=original.format.name, width=width, height=height, frames=frames)
        if transform.page > 1 or transform.trim is not None:  # another size
            return None
        settings, point = self._renditions.settings, original.focal_point
        order = Order(transform, settings.limits, settings.encoders, None if point is None else (point.x, point.y))
        sides = (file.width, file.height)
        stored, vector = Size(*(sides[::-1] if original.orientation in _SWAPPED else sides)), file.format == "svg"
        output = FORMATS[transform.format or file.format]
        moves = output.animation and transform.animate and transform.frame is None
        frames = file.frames if moves and original.format.animation else 1
        if frames > settings.limits.frames or frames * stored.pixels > settings.limits.animation_pixels:
            frames = 1
        stored = planning_size(stored, transform, vector=vector)
        return order.plan(stored, transform, orientation=original.orientation, frames=frames, vector=vector)

    async def _inspect(self, original: Original) -> Facts:
        version = original.image_id, original.file_version
        known = self._inspected.get(version)
        if known is None:
            known, _ = await self._flights.do(version, lambda: self._inspect_now(original))
            self._inspected[version] = known
        return known

    async def _inspect_now(self, original: Original) -> Facts:
        key, settings = (
            RenditionKey(original.image_id, original.version, "facts", "", "json"),
            self._renditions.settings,
        )
        self._failures.check(key)
        job = InspectJob(original.path, original.file_version, settings.limits, settings.damaged)
        try:
            return await self._workers.inspect(job, megapixels=original.megapixels, background=False)
        except ImgserveError as error:
            if isinstance(error, UnreadableImage) and not self._renditions.is_settled(original):
                raise OriginalUnsettled(retry_after=2) from error
            self._failures.remember(key, error)
            raise
