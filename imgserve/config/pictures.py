"""The sections of the settings about originals, cache, rendering and formats."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from imgserve.config.values import Duration, Folder, Section, Size, WholeDuration, Words, expand, mistake, stated
from imgserve.errors import BadImageId
from imgserve.formats import FORMATS
from imgserve.model import Limits
from imgserve.originals.root import check_id

Folders = Mapping[str, Path]
"""By the beginning of the image ids, without a slash at its end."""
FOLDERS_SCHEMA = {
    "anyOf": [{"type": "object", "additionalProperties": {"type": "string", "minLength": 1}}, {"type": "string"}]
}


def read_folders(value: object, main: Path | None) -> Folders:
    """Check every prefix and folder, each of which lies apart from the main one; every mistake is raised at once."""
    folders = _pairs(value) if isinstance(value, str) else value
    if not isinstance(folders, Mapping):
        raise mistake("folders by prefix, or text such as archive=/mnt/archive,press/2024=/mnt/press")
    errors = [detail for prefix, folder in folders.items() for detail in _mistakes(prefix, folder, main)]
    if errors:
        raise ValidationError.from_exception_data("folders", errors)
    return {prefix: expand(Path(folder)) for prefix, folder in folders.items()}


def _pairs(text: str) -> Mapping[str, str]:
    """Read `prefix=folder` separated by commas."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    found: dict[str, str] = {}
    for prefix, equals, folder in pairs:
        if not equals or prefix.strip() in found:
            raise mistake("each prefix once, as prefix=folder, separated by commas")
        found[prefix.strip()] = folder.strip()
    return found


def _mistakes(prefix: Any, folder: Any, main: Path | None) -> Iterator[InitErrorDetails]:
    try:
        check_id(str(prefix))
    except BadImageId as error:
        reason = error.detail.partition(": ")[2].rstrip(".")
        yield _at(prefix, stated(f"no image ids can begin with {str(prefix)!r}: {reason}"), folder)
    try:
        path = _folder(folder)
    except PydanticCustomError as error:
        yield _at(prefix, error, folder)
    else:
        if main is not None and (sentence := _nested(real(main), real(path))):
            yield _at(prefix, stated(sentence), folder)


def _folder(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise mistake("a folder")
    return expand(Path(value))


def real(folder: Path) -> Path:
    """Resolve a folder; unlike Path.resolve this does not raise where links go round in circles."""
    return Path(os.path.realpath(folder))


def _nested(main: Path, folder: Path) -> str:
    """Say why a folder cannot be served beside the main one: the same file would have two ids, one of them writable."""
    if folder == main:
        return f"{folder} is the folder of originals itself"
    if folder.is_relative_to(main):
        return f"{folder} is inside the folder of originals, {main}, and served from there"
    if main.is_relative_to(folder):
        return f"the folder of originals, {main}, must not be inside {folder}"
    return ""


def _at(prefix: Any, error: PydanticCustomError, received: object) -> InitErrorDetails:
    return {"type": error, "loc": (str(prefix),), "input": received}


_LIMITS = Limits()
Quality = Annotated[int, Field(ge=1, le=100)]
"""Encoder quality."""
Count = Annotated[int, Field(ge=1, le=10**12)]
"""How many of something, at least one."""


def _quality(name: str) -> int:
    quality = FORMATS[name].quality
    if quality is None:
        raise LookupError(name)
    return quality


class OriginalsConfig(Section):
    """Where the originals are."""

    folder: Folder = Path()
    """Folder of originals; a relative one starts at the current folder."""
    folders: Annotated[Folders, WithJsonSchema(FOLDERS_SCHEMA)] = Field(default_factory=dict)
    """More folders, only read, by the beginning of image ids: {archive: /mnt/a}, or as text archive=/mnt/a,b=/mnt/b."""
    trash: WholeDuration = 7 * 86400
    """How long a deleted original can be brought back; 0 deletes it for good at once."""
    recheck: Annotated[Duration, Field(le=3600)] = 0.9
    """How long a look at an original's file stays good: a replaced file is served new within this time."""
    settle: Annotated[Duration, Field(le=3600)] = 2.0
    """An original changed more recently than this may still be being written: its renditions are not kept."""
    follow_links: bool = True
    """Serve symbolic links whose target lies inside the folder of originals."""
    watch: bool = True
    """Record originals that are put into the folder, replaced or taken away, as it happens."""
    rescan: Annotated[Duration, Field(le=30 * 86400)] = 600.0
    """How often all originals are looked through for changes that nothing told of; 0 for only at the start."""

    @field_validator("folders", mode="plain")
    @classmethod
    def _check_folders(cls, value: object, info: ValidationInfo) -> Folders:
        return read_folders(value, info.data.get("folder"))


class CacheConfig(Section):
    """Where finished renditions are kept, and how many."""

    folder: Folder = Path("~/.cache/imgserve")
    """Folder of renditions, made where it is missing; by default below XDG_CACHE_HOME where that is set."""
    memory_bytes: Size = 256 * 10**6
    """Renditions kept in the memory of each server process; 0 for none."""
    disk_bytes: Size = 10 * 10**9
    """Renditions kept on disk, least recently used go first; 0 for none."""
    disk_entries: Count = 1_000_000
    """Files kept on disk at most."""
    mezzanine_bytes: Size = 2 * 10**9
    """Reduced copies of large originals kept on disk, from which further sizes are made quickly; 0 for none."""
    renditions_per_original: Count = 1000
    """Files kept of one original at most, so that strangers who vary its size cannot push out all others."""


class RenderingConfig(Section):
    """The processes that make pictures."""

    processes: Annotated[int, Field(ge=0, le=256)] = 0
    """Rendering processes; 0 for one per processor core."""
    waiting: Annotated[int, Field(ge=0, le=100_000)] = 64
    """Pictures that may wait for a process; further ones are answered with 503 at once."""
    waiting_megapixels: Annotated[int, Field(ge=1, le=10**9)] = 1536
    """Megapixels that may wait to be decoded, as 64 pictures of 24 have; one alone may be larger."""
    time_limit: Annotated[Duration, Field(gt=0, le=600)] = 10.0
    """Time that one picture may take before its process is killed."""
    stand_in: Annotated[Duration, Field(le=60)] = 0.0
    """A picture that takes longer than this is answered with a smaller one, or another format, if kept; 0 for never."""
    prepare: Literal["ingest", "demand"] = "ingest"
    """When reduced copies of large originals are made: as they come in, while nobody waits, or by the first request."""
    memory_bytes: Annotated[Size, Field(ge=256 * 10**6)] = 2 * 10**9
    """Address space of each process."""
    pictures_per_process: Annotated[int, Field(ge=0, le=10**9)] = 10_000
    """Pictures after which a process is replaced by a fresh one; 0 for never."""
    growth_bytes: Size = 256 * 10**6
    """Resident memory that a process may grow by before it is replaced; 0 for any."""
    niceness: Annotated[int, Field(ge=0, le=19)] = 10
    """How far processes step back for the server itself: 0 not at all, 19 furthest."""
    crash_memory: Annotated[Duration, Field(le=86400)] = 60.0
    """How long a file that crashed or hung a process is refused without another try."""


class LimitsConfig(Section):
    """What one picture may cost; checked on the header, before decoding."""

    original_bytes: Annotated[Size, Field(ge=1)] = _LIMITS.original_bytes
    """Largest file of an original."""
    original_pixels: Count = _LIMITS.original_pixels
    """Width x height of an original, over all frames of an animation that is decoded whole."""
    original_side: Count = _LIMITS.original_side
    """Longest side of an original in pixels."""
    frames: Count = _LIMITS.frames
    """Frames or pages that are read; a file may hold more."""
    animation_pixels: Count = _LIMITS.animation_pixels
    """Frames x width x height up to which an animation stays one; beyond it the first frame is served."""
    output_side: Annotated[int, Field(ge=1, le=65_535)] = _LIMITS.output_side
    """Longest side of a rendition in pixels; larger requests are scaled down to it."""
    output_pixels: Count = _LIMITS.output_pixels
    """Width x height of a rendition, over all its frames."""
    svg_bytes: Annotated[Size, Field(ge=1)] = _LIMITS.svg_bytes
    """Largest SVG after inflating."""
    svg_side: Count = _LIMITS.svg_side
    """Width or height that an SVG may declare."""
    avif_pixels: Annotated[int, Field(ge=0, le=10**12)] = _LIMITS.avif_pixels
    """Pixels of a rendition up to which auto=format chooses AVIF, which is slow to encode; 0 for never."""
    bulk_images: Count = 10_000
    """Images that one call of the API may transform."""

    def plain(self) -> Limits:
        """Give the limits as the value that lower layers take."""
        return Limits(**self.model_dump(exclude={"bulk_images"}))


class QualityConfig(Section):
    """Encoder quality where a request names none, 1 to 100."""

    jpg: Quality = _quality("jpg")
    """Quality of JPEG."""
    webp: Quality = _quality("webp")
    """Quality of WebP."""
    avif: Quality = _quality("avif")
    """Quality of AVIF."""


class EffortsConfig(Section):
    """How hard encoders try: more makes files smaller and rendering slower."""

    webp: Annotated[int, Field(ge=0, le=6)] = 2
    """Effort of WebP, 0 to 6."""
    avif: Annotated[int, Field(ge=0, le=9)] = 0
    """Effort of AVIF, 0 to 9."""
    png: Annotated[int, Field(ge=0, le=9)] = 6
    """Compression level of PNG, 0 to 9."""
    gif: Annotated[int, Field(ge=1, le=10)] = 3
    """Effort of GIF, 1 to 10."""


class FormatsConfig(Section):
    """How image formats are read and written."""

    quality: QualityConfig = QualityConfig()
    efforts: EffortsConfig = EffortsConfig()
    svg: Literal["rasterize", "sanitize", "off"] = "rasterize"
    """SVG originals: rasterize draws them, sanitize passes them on cleaned where nothing is asked, off refuses them."""
    on_damage: Literal["refuse", "decode"] = "refuse"
    """Damaged originals: refuse them, or decode and serve what can be decoded."""
    allow_untrusted: Words = ()
    """Names of libvips operations that it marks as untrusted and that are allowed back, beyond those imgserve needs."""
