"""Mezzanines: reduced, upright sRGB copies of originals, and their memory-mapped files."""

import contextlib
import functools
import json
import mmap
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyvips

from imgserve.formats import FORMATS
from imgserve.geometry.box import Size
from imgserve.geometry.reduction import (
    MEZZANINE_LEVELS,
    accepts_mezzanine,
    chosen_level,
    is_worthwhile,
    jpeg_shrink,
    mezzanine_plan,
    serves,
)
from imgserve.pipeline import color, load, metadata
from imgserve.pipeline.encode import Indexed
from imgserve.pipeline.fields import with_fields
from imgserve.pipeline.gain_map import DATA as GAIN_MAP_DATA
from imgserve.pipeline.gain_map import GainMap, adapted, fields_of, read_gain_map
from imgserve.pipeline.load import Recognized
from imgserve.pipeline.order import Order
from imgserve.pipeline.probe import Header
from imgserve.pipeline.render import Draft, draft, job_of
from imgserve.pipeline.stages import Job, resized, staged
from imgserve.transform.value import Transform


@dataclass(frozen=True, slots=True)
class Level:
    """The picture at one size."""

    size: Size
    open: Callable[[], pyvips.Image]
    """Returns an image of its own."""


@dataclass(frozen=True, slots=True)
class Mezzanine:
    """Pixels and the facts of the original that renditions need."""

    original: str
    """Format of the original."""
    width: int
    """Of the upright original, from which every size is computed."""
    height: int
    levels: Sequence[Level]
    """The full level, and after reading from a file, those of 1/2, 1/4 and 1/8 of its sides."""
    rights: Mapping[str, str] = field(default_factory=dict)
    """Metadata for renditions."""
    gain_map: GainMap = field(default_factory=dict)
    indexed: Indexed | None = None
    """Of an original with a palette."""
    compact: bool = False
    """Levels are JPEGs."""

    def reduced(self) -> list[pyvips.Image]:
        """Return all levels, each made of the one before."""
        levels = [self.levels[0].open()]
        while len(levels) < MEZZANINE_LEVELS:
            half = Size(-(-levels[-1].width // 2), -(-levels[-1].height // 2))
            levels.append(color.weighted(levels[-1], functools.partial(resized, size=half)).copy_memory())
        return levels


def is_reducible(opened: Recognized, header: Header) -> bool:
    """Return whether a mezzanine is made of an original."""
    return (
        header.frames == 1
        and not opened.is_sequence
        and is_worthwhile(FORMATS[opened.format], Size(header.width, header.height))
    )


def draft_reduced(mezzanine: Mezzanine, order: Order) -> Draft | None:
    """Return the draft of a rendition from a level of a mezzanine, or None if the original is needed."""
    transform, output = order.normalized(FORMATS[mezzanine.original])
    lossless = transform.lossless or output.quality is None
    if not accepts_mezzanine(transform) or (mezzanine.compact and lossless):
        return None
    upright = Size(mezzanine.width, mezzanine.height)
    made = order.plan(upright, transform)
    chosen = chosen_level(made, upright, [level.size for level in mezzanine.levels])
    if chosen is None:
        return None
    level = mezzanine.levels[chosen].open()
    level = with_fields(level, {**mezzanine.rights, **mezzanine.gain_map})
    return Draft(
        [level], job_of(order, made, transform, output, upright), mezzanine.original, indexed=mezzanine.indexed
    )


class Decoded:
    """An original that is decoded once, for a first rendition and then for its mezzanine."""

    def __init__(self, opened: Recognized, header: Header) -> None:
        self._opened = opened
        self._header = header
        self._stored = Size(header.width, header.height)
        self._shrink = jpeg_shrink(self._stored) if opened.format == "jpg" else 0
        self._image: pyvips.Image | None = None
        self._mezzanine: Mezzanine | None = None
        self._indexed = Indexed(header.bits, len(opened.data)) if header.bits else None

    def draft(self, order: Order) -> Draft:
        """Return the draft of the first rendition; raises as `render` does.

        A JPEG is decoded at its own reduction, which leaves enough for both. Other formats have no such reduction and
        could fill the memory, so they are reduced while they are decoded, and the rendition is made of that.
        """
        if self._shrink:
            decoded = self._jpeg() if self._serves(order) else None
            return draft(self._opened, self._header, order, decoded=decoded)
        drafted = draft_reduced(self.mezzanine(), order) if self._serves(order) else None
        return drafted or draft(self._opened, self._header, order)

    def mezzanine(self) -> Mezzanine:
        """Return the mezzanine, from pixels that are decoded already if there are any, or raise UnreadableImage."""
        if self._mezzanine is None:
            image = self._jpeg() if self._shrink else self._whole()
            made = mezzanine_plan(self._stored, Size(image.width, image.height), self._header.orientation)
            job = Job(made, Transform(format="png"), FORMATS["png"], self._stored)
            with load.translated(self._opened.format):
                full = staged(image, job).copy_memory()
                gain_map = fields_of(image)
                gain_map = adapted(gain_map, job) if gain_map else gain_map
            width, height = (int(side) for side in made.turn.size(self._stored.width, self._stored.height))
            rights = metadata.rights(full)
            levels = [Level(Size(full.width, full.height), full.copy)]
            self._mezzanine = Mezzanine(self._opened.format, width, height, levels, rights, gain_map, self._indexed)
            self._image = None
        return self._mezzanine

    def _jpeg(self) -> pyvips.Image:
        if self._image is None:
            image = self._opened.open(access="sequential", shrink=self._shrink)
            with load.translated(self._opened.format):
                self._image = with_fields(image.copy_memory(), read_gain_map(self._opened))
        return self._image

    def _whole(self) -> pyvips.Image:
        return with_fields(self._opened.open(access="sequential"), read_gain_map(self._opened))

    def _serves(self, order: Order) -> bool:
        transform, output = order.normalized(FORMATS[self._opened.format])
        made = order.plan(self._stored, transform, orientation=self._header.orientation)
        loaded = Size(*(-(-side // max(1, self._shrink)) for side in (self._stored.width, self._stored.height)))
        if not self._shrink:
            loaded = mezzanine_plan(self._stored, loaded, 1).scaled
        return output.name != "svg" and transform.trim is None and serves(made, self._stored, loaded)


_NAME = b"imgserve mezzanine 3\n"
_HEAD_BYTES = 4096
_MAX_BANDS = 4


_COMPACT: dict[str, Any] = {"Q": 95, "subsample_mode": "off", "keep": "none"}
"""Measured by benchmarks/mezzanine.py."""


def write_mezzanine(descriptor: int, mezzanine: Mezzanine, *, compact: bool = False) -> int:
    """Write a mezzanine with its reduced levels to an empty file and return the bytes.

    Args:
        descriptor: of the file.
        mezzanine: the full level is used.
        compact: store the levels of a photograph, which a JPEG is taken for, as JPEGs.

    Raises:
        OSError: the disk is full, or similar.
        ValueError: the rights are too long.
    """
    levels = mezzanine.reduced()
    gain_map = dict(mezzanine.gain_map)
    compact = compact and mezzanine.original == "jpg"
    packed = [level.jpegsave_buffer(**_COMPACT) if compact else level.write_to_memory() for level in levels]
    pixels = [*packed, gain_map.pop(GAIN_MAP_DATA, b"")]
    values = {
        "original": mezzanine.original,
        "size": [mezzanine.width, mezzanine.height],
        "bands": levels[0].bands,
        "interpretation": levels[0].interpretation,
        "compact": compact,
        "levels": [[level.width, level.height, len(data)] for level, data in zip(levels, packed, strict=True)],
        "crc32": functools.reduce(lambda checksum, data: zlib.crc32(data, checksum), pixels, 0),
        "rights": dict(mezzanine.rights),
        "gain_map": gain_map,
        "gain_map_bytes": len(pixels[-1]),
        "indexed": mezzanine.indexed and [mezzanine.indexed.bits, mezzanine.indexed.size],
    }
    head = _NAME + json.dumps(values).encode() + b"\n"
    if len(head) > _HEAD_BYTES:
        raise ValueError(f"the rights take {len(head)} bytes")
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.writelines((head.ljust(_HEAD_BYTES, b"\0"), *pixels))
    return os.fstat(descriptor).st_size


def read_mezzanine(descriptor: int) -> Mezzanine:
    """Return a memory-mapped mezzanine.

    Raises:
        OSError: it cannot be mapped now.
        ValueError, KeyError, TypeError: it is broken.
    """
    mapped = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
    name, text, _ = mapped[:_HEAD_BYTES].split(b"\n", 2)
    if name + b"\n" != _NAME:
        raise ValueError("it is no mezzanine")
    head: dict[str, Any] = json.loads(text)
    # Pages of a file that were not on disk are lost when the machine restarts.
    if os.fstat(descriptor).st_mtime <= time.time() - time.clock_gettime(time.CLOCK_BOOTTIME):
        if zlib.crc32(memoryview(mapped)[_HEAD_BYTES:]) != head["crc32"]:
            raise ValueError("the checksum differs")
        # On a read-only disk it is checked each time.
        with contextlib.suppress(OSError):
            os.utime(descriptor)
    bands, sizes, space, compact = head["bands"], head["levels"], head["interpretation"], bool(head["compact"])
    width, height = head["size"]
    end = _HEAD_BYTES + sum(size if compact else across * down * bands for across, down, size in sizes)
    needed = end + head["gain_map_bytes"]
    if not 1 <= bands <= _MAX_BANDS or needed != len(mapped):
        raise ValueError(f"it has {len(mapped)} bytes instead of {needed}")
    levels, start = [], _HEAD_BYTES
    for across, down, size in sizes:
        data = memoryview(mapped)[start : start + size]
        plain = functools.partial(_plain, data, across, down, bands, space)
        levels.append(Level(Size(across, down), functools.partial(_unpacked, data) if compact else plain))
        start += size
    gain_map = {**head["gain_map"], GAIN_MAP_DATA: mapped[end:]} if needed > end else {}
    indexed = Indexed(*head["indexed"]) if head["indexed"] else None
    return Mezzanine(head["original"], width, height, levels, head["rights"], gain_map, indexed, compact)


def _plain(pixels: memoryview, width: int, height: int, bands: int, interpretation: str) -> pyvips.Image:
    return pyvips.Image.new_from_memory(pixels, width, height, bands, "uchar").copy(interpretation=interpretation)


def _unpacked(data: memoryview) -> pyvips.Image:
    return pyvips.Image.jpegload_buffer(bytes(data), access="sequential")
