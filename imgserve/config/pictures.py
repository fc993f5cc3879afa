"""The sections of the settings about originals, cache, rendering and formats."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationError, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from imgserve.config.values import Duration, Folder, Section, Size, WholeDuration, Words, detail, expand
from imgserve.errors import BadImageId
from imgserve.formats import FORMATS, SIMILARITY
from imgserve.model import Limits
from imgserve.originals.writable import check_id
from imgserve.validation import expected, stated

FOLDERS_SCHEMA = {
    "anyOf": [{"type": "object", "additionalProperties": {"type": "string", "minLength": 1}}, {"type": "string"}]
}


def real(folder: Path) -> Path:
    """Return the resolved folder; unlike Path.resolve this does not raise on circular links."""
    return Path(os.path.realpath(folder))


def is_served(folder: Path, originals: Path) -> bool:
    """Return whether files in the folder have image ids: it is among the originals, and not hidden."""
    inside = folder.is_relative_to(originals)
    return inside and not any(part.startswith(".") for part in folder.relative_to(originals).parts)


_LIMITS = Limits()
Quality = Annotated[int, Field(ge=1, le=100)]
"""Encoder quality."""
Count = Annotated[int, Field(ge=1, le=10**12)]
"""A number of at least one."""


def _read_folders(value: object, info: ValidationInfo) -> Mapping[str, Path]:
    """Return the folders by prefix, without a slash at the end; raise every mistake at once."""
    folders, main = value, info.data.get("folder")
    if isinstance(value, str):
        pairs = [tuple(map(str.strip, pair.partition("="))) for pair in value.split(",") if pair.strip()]
        folders = {prefix: folder for prefix, _, folder in pairs}
        if len(folders) < len(pairs) or not all(equals for _, equals, _ in pairs):
            raise expected("each prefix once, as prefix=folder, separated by commas")
    if not isinstance(folders, Mapping):
        raise expected("folders by prefix, or text such as archive=/mnt/archive,press/2024=/mnt/press")
    errors = [error for prefix, folder in folders.items() for error in _mistakes(str(prefix), folder, main)]
    if errors:
        raise ValidationError.from_exception_data("folders", errors)
    return {prefix: expand(Path(folder)) for prefix, folder in folders.items()}


def _mistakes(prefix: str, folder: Any, main: Path | None) -> Iterator[InitErrorDetails]:
    """Yield the mistakes of one more folder; if it overlapped with the main one, one file would have two ids."""
    try:
        check_id(prefix)
    except BadImageId as error:
        reason = error.detail.partition(": ")[2].rstrip(".")
        yield detail(stated(f"no image id can start with {prefix!r}: {reason}"), prefix, received=folder)
    try:
        if not isinstance(folder, str | Path) or not str(folder).strip() or "\0" in str(folder):
            raise expected("a folder")
        path = real(expand(Path(folder)))
    except PydanticCustomError as error:
        yield detail(error, prefix, received=folder)
        return
    if main is None:
        return
    main = real(main)
    if path == main:
        yield detail(stated(f"{path} is the folder of originals itself"), prefix, received=folder)
    elif path.is_relative_to(main):
        sentence = f"{path} is inside the folder of originals, {main}, and served from there"
        yield detail(stated(sentence), prefix, received=folder)
    elif main.is_relative_to(path):
        sentence = f"the folder of originals, {main}, must not be inside {path}"
        yield detail(stated(sentence), prefix, received=folder)


class OriginalsConfig(Section):
    """The originals."""

    folder: Folder = Path()
    """Folder of originals; a relative path starts at the current folder."""
    folders: Annotated[Mapping[str, Path], PlainValidator(_read_folders), WithJsonSchema(FOLDERS_SCHEMA)] = Field(
        default_factory=dict
    )
    """More folders, read-only, by prefix of the image ids: {archive: /mnt/a}, or as text archive=/mnt/a,b=/mnt/b."""
    data_folder: Folder | None = None
    """Folder of catalog, admin key and locks. Default: .imgserve in the originals, where trash and uploads remain."""
    trash: WholeDuration = 7 * 86400
    """How long a deleted original can be restored; 0 deletes permanently at once."""
    redirects: Annotated[WholeDuration, Field(le=10 * 365 * 86400)] = 30 * 86400
    """How long the URLs of an image that was moved by the API redirect to its new ones; 0 for never."""
    recheck: Annotated[Duration, Field(le=3600)] = 0.9
    """How long the checked state of an original stays valid; a replaced file is served within this time."""
    settle: Annotated[Duration, Field(le=3600)] = 2.0
    """An original changed more recently than this may be incomplete; its renditions are not cached."""
    follow_links: bool = True
    """Serve symbolic links whose target is inside the folder of originals."""
    watch: bool = True
    """Watch the folders, and record originals as they are added, replaced or removed."""
    rescan: Annotated[Duration, Field(le=30 * 86400)] = 600.0
    """How often all originals are scanned for missed changes; 0 for only at start."""

    @field_validator("data_folder")
    @classmethod
    def _check_data_folder(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        for folder in (info.data.get("folder"), *info.data.get("folders", {}).values()):
            if value and folder and is_served(real(value), real(folder)):
                raise stated(
                    f"{value} is inside {folder}, a folder of originals; only a hidden folder is possible there"
                )
        return value


class CacheConfig(Section):
    """Cached renditions and mezzanines."""

    folder: Folder = Path("~/.cache/imgserve")
    """Folder of renditions, created if missing; the default is below XDG_CACHE_HOME if that is set."""
    memory_bytes: Size = 256 * 10**6
    """Renditions cached in the memory of each server process; 0 for none."""
    disk_bytes: Size = 10 * 10**9
    """Renditions cached on disk; the least recently used are evicted first; 0 for none."""
    disk_entries: Count = 1_000_000
    """Maximum number of renditions on disk."""
    mezzanine_bytes: Size = 2 * 10**9
    """Mezzanines on disk: reduced copies of large originals, from which further sizes render fast; 0 for none."""
    compact_mezzanines: bool = True
    """While over 80% of mezzanine_bytes are used, store mezzanines of JPEGs as JPEGs: fewer bytes, less speed."""
    renditions_per_original: Count = 1000
    """Maximum number of renditions per original, so that varying one URL cannot evict all others."""
    published_urls: Annotated[int, Field(ge=0, le=10**7)] = 0
    """URLs whose pictures nginx reads from the cache folder itself (docs/deployment.md), such as 100000; 0 for none."""


class RenderingConfig(Section):
    """The rendering processes."""

    processes: Annotated[int, Field(ge=0, le=256)] = 0
    """Rendering processes; 0 for one per processor core."""
    waiting: Annotated[int, Field(ge=0, le=100_000)] = 64
    """Pictures that may wait for a process; further requests receive 503 at once."""
    waiting_megapixels: Annotated[int, Field(ge=1, le=10**9)] = 1536
    """Megapixels that may wait for decoding, such as 64 pictures of 24; a single one may be larger."""
    time_limit: Annotated[Duration, Field(gt=0, le=600)] = 10.0
    """Time limit for one picture; its process is killed after that."""
    stand_in: Annotated[Duration, Field(le=60)] = 0.0
    """After this time a cached smaller picture or other format is served instead; 0 for never."""
    slow_pixels: Annotated[int, Field(ge=0, le=10**12)] = 500_000
    """Pixels above which the first response with auto=format is a JPEG or WebP, until the AVIF is encoded."""
    effort: Literal["demand", "once"] = "demand"
    """Encode popular renditions again in idle time, with more effort and a new ETag (demand); or each only once."""
    prepare: Literal["ingest", "demand"] = "ingest"
    """When mezzanines are made: ingest with uploads, else in idle time, demand for the first request."""
    memory_bytes: Annotated[Size, Field(ge=256 * 10**6)] = 2 * 10**9
    """Address space limit of each process."""
    pictures_per_process: Annotated[int, Field(ge=0, le=10**9)] = 10_000
    """Pictures after which a process is replaced; 0 for never."""
    growth_bytes: Size = 256 * 10**6
    """Growth of resident memory after which a process is replaced; 0 for unlimited."""
    niceness: Annotated[int, Field(ge=0, le=19)] = 10
    """Nice value of the processes: 0 equals the server, 19 is the lowest priority."""
    sandbox: Literal["auto", "required", "off"] = "auto"
    """Confine the processes with Landlock and seccomp: auto where the kernel supports it, required or do not start."""
    faces: bool = False
    """Find the faces in new originals, for crop=faces; needs the extra imgserve[faces]."""
    crash_memory: Annotated[Duration, Field(le=86400)] = 60.0
    """How long a file that crashed or blocked a process is rejected without another try."""


class LimitsConfig(Section):
    """Limits of one picture, checked on its header before decoding."""

    original_bytes: Annotated[Size, Field(ge=1)] = _LIMITS.original_bytes
    """Maximum file size of an original."""
    original_pixels: Count = _LIMITS.original_pixels
    """Maximum width x height of an original, summed over the decoded frames."""
    original_side: Count = _LIMITS.original_side
    """Maximum side of an original in pixels."""
    frames: Count = _LIMITS.frames
    """Maximum number of frames or pages that are decoded; a file may contain more."""
    animation_pixels: Count = _LIMITS.animation_pixels
    """Maximum frames x width x height of an animation; beyond it only the first frame is served."""
    output_side: Annotated[int, Field(ge=1, le=65_535)] = _LIMITS.output_side
    """Maximum side of a rendition in pixels; larger requests are scaled down to it."""
    output_pixels: Count = _LIMITS.output_pixels
    """Maximum width x height of a rendition, summed over its frames."""
    svg_bytes: Annotated[Size, Field(ge=1)] = _LIMITS.svg_bytes
    """Maximum size of an SVG after decompression."""
    svg_side: Count = _LIMITS.svg_side
    """Maximum width or height that an SVG may declare."""
    avif_pixels: Annotated[int, Field(ge=0, le=10**12)] = _LIMITS.avif_pixels
    """Maximum pixels for which auto=format chooses AVIF, which encodes slowly; 0 for never."""
    bulk_images: Count = 10_000
    """Maximum number of images in one transform call of the API."""

    def plain(self) -> Limits:
        """Return the limits as a plain value."""
        return Limits(**self.model_dump(exclude={"bulk_images"}))


class QualityConfig(Section):
    """Default encoder quality, 1 to 100."""

    jpg: Quality = FORMATS["jpg"].quality or 0
    """Quality of JPEG."""
    webp: Quality = FORMATS["webp"].quality or 0
    """Quality of WebP."""
    avif: Quality = FORMATS["avif"].quality or 0
    """Quality of AVIF."""
    jxl: Quality = FORMATS["jxl"].quality or 0
    """Quality of JPEG XL."""


class EffortsConfig(Section):
    """Encoder effort: higher values produce smaller files and render more slowly."""

    webp: Annotated[int, Field(ge=0, le=6)] = 2
    """Effort of WebP, 0 to 6."""
    avif: Annotated[int, Field(ge=0, le=9)] = 0
    """Effort of AVIF, 0 to 9."""
    png: Annotated[int, Field(ge=0, le=9)] = 6
    """Compression level of PNG, 0 to 9."""
    gif: Annotated[int, Field(ge=1, le=10)] = 3
    """Effort of GIF, 1 to 10."""
    jxl: Annotated[int, Field(ge=1, le=9)] = 3
    """Effort of JPEG XL, 1 to 9."""


class FormatsConfig(Section):
    """Reading and writing of image formats."""

    quality: QualityConfig = QualityConfig()
    similarity: Annotated[float, Field(ge=0.8, le=0.999)] = SIMILARITY
    """Structural similarity to the uncompressed picture that quality=auto and auto=best aim at."""
    efforts: EffortsConfig = EffortsConfig()
    svg: Literal["rasterize", "sanitize", "off"] = "rasterize"
    """SVG originals: rasterize, sanitize (also serve them as SVG, sanitized, if no parameters are set), or off."""
    on_damage: Literal["refuse", "decode"] = "refuse"
    """Damaged originals: refuse them, or decode as much as possible."""
    allow_untrusted: Words = ()
    """Names of libvips operations marked as untrusted that are allowed in addition to the required ones."""
