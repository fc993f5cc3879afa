"""What is read from the bytes of an original for the catalog, in a rendering process: hash, pixels, texts."""

import hashlib
import time
from dataclasses import dataclass, field

from imgserve.model import Facts, Limits
from imgserve.pipeline.alike import perceptual_hash
from imgserve.pipeline.color_space import color_space
from imgserve.pipeline.dominant import dominant_color
from imgserve.pipeline.embedded import metadata_of, read_embedded
from imgserve.pipeline.load import recognize
from imgserve.pipeline.probe import read_header, upright_size
from imgserve.pipeline.process import Discipline, enter, only_our_errors, read_version
from imgserve.pipeline.small_picture import decode_small, open_small
from imgserve.pipeline.thumbhash import thumbhash


@dataclass(frozen=True, slots=True)
class InspectJob:
    """One original to read the facts of, as it is sent to a rendering process."""

    path: str
    version: str
    """Of the file, as `Original.file_version`."""
    discipline: Discipline = field(default_factory=Discipline)
    limits: Limits = field(default_factory=Limits)
    damaged: bool = False
    """Take what can be decoded of a broken file instead of refusing it."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """Facts, as a rendering process sends them back."""

    facts: Facts
    seconds: float


def inspect(job: InspectJob) -> Inspected:
    """Read the facts of an original from its file; whatever rendering it would refuse is refused.

    Raises:
        OriginalChanged: the file is no longer the version that was asked for.
        ImageNotFound: it is gone.
        ImgserveError: whatever `render` raises.
    """
    enter(job.discipline)
    started = time.perf_counter()
    with only_our_errors(job.path):
        data = read_version(job.path, job.version, job.limits.original_bytes)
        facts = facts_of(data, job.version, job.limits, damaged=job.damaged)
    return Inspected(facts, time.perf_counter() - started)


def facts_of(data: bytes, version: str, limits: Limits, *, damaged: bool = False) -> Facts:
    """Read the facts of an original from its bytes.

    Raises:
        UnsupportedImage, UnreadableImage, LimitExceeded: the original is at fault.
    """
    opened = recognize(data, limits, damaged=damaged)
    header = read_header(opened, limits)
    image = open_small(opened, header)
    told = read_embedded(image, opened)
    small = decode_small(image, opened, header, limits)
    width, height = upright_size(header)
    return Facts(
        version=version,
        sha256=hashlib.sha256(data).hexdigest(),
        format=opened.format,
        width=width,
        height=height,
        size=len(data),
        frames=header.frames,
        alpha=small.alpha,
        color_space=color_space(image),
        perceptual_hash=perceptual_hash(small.image),
        dominant_color=dominant_color(small.image),
        thumbhash=thumbhash(small.image),
        title=told.title,
        description=told.description,
        keywords=told.keywords,
        metadata=metadata_of(told),
    )
