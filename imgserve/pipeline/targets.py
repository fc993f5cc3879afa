"""Encode to targets: a similarity to the pixels, the smallest of several formats, at most so many bytes."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pyvips

from imgserve.errors import MaxBytesUnreachable
from imgserve.formats import FORMATS, Format
from imgserve.geometry.box import Size
from imgserve.pipeline import animation, color, gain_map
from imgserve.pipeline.encode import Indexed, encode
from imgserve.pipeline.load import Recognized
from imgserve.pipeline.order import EncoderSettings
from imgserve.pipeline.similarity import Likeness, sample
from imgserve.pipeline.stages import resized
from imgserve.transform.parameters import AUTO_QUALITY
from imgserve.transform.value import Transform

REDUCED = "max-bytes: "
"""Start of the note on what was reduced to meet a limit on bytes."""
_LEAST_AUTO, _ABOVE_DEFAULT = 40, 5
"""The range of qualities: grain is never alike, and far above the default it costs bytes that nobody sees."""
_TRIES = 4
"""Encodings of the sample in search of a quality."""
_CLOSE = 0.1
"""Share of the distortion by which a quality may be better than the target."""
_DISTORTION_SLOPE = -0.025
"""Of its logarithm by quality, as a first guess."""
_LEAST_QUALITY = 30
_PALETTES = {"png": (256,), "gif": (128, 64, 32)}
"""Below them, a smaller picture looks better."""
_SEARCHES, _SIZES = 6, 10
"""Encodings in search of a quality or palette, then of a size, that meets a limit on bytes."""
_FULL = 0.95
"""Share of the limit from which a result is as good as any."""
_SIZE_FULL = 0.85
"""The same for a size, in larger steps."""
_MOST_REDUCTION = 16
"""Factor that quality or palette certainly cannot reach."""
_LARGE = 4
"""Times the sample: a picture whose size is worth an estimate."""
_BYTES_SLOPE = 0.02
"""Of the logarithm of the bytes by quality, as a first guess."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Pixels, and how they are encoded."""

    image: pyvips.Image
    """The frames of an animation are joined."""
    output: Format
    transform: Transform
    settings: EncoderSettings
    keep: str
    """As in `encode`, like `indexed`."""
    indexed: Indexed | None = None

    def encode(self) -> bytes:
        """Return the file."""
        return encode(self.image, self.output, self.transform, self.settings, keep=self.keep, indexed=self.indexed)

    @property
    def lossy(self) -> bool:
        """Whether it has a quality."""
        return self.output.quality is not None and not self.transform.lossless


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file, how it was encoded, and what was reduced for it."""

    data: bytes
    encoding: Encoding
    notes: tuple[str, ...] = ()


def encode_to_targets(encoding: Encoding) -> Encoded:
    """Return the file that meets the targets of the transform; raise MaxBytesUnreachable if none is small enough."""
    transform = encoding.transform
    automatic = transform.quality == AUTO_QUALITY or "best" in transform.auto
    if not (automatic or transform.max_bytes):
        return Encoded(encoding.encode(), encoding)
    encoding = replace(encoding, image=encoding.image.copy_memory())
    others = [FORMATS[name] for name in sorted(transform.auto & FORMATS.keys())]
    encodings = [replace(encoding, output=output) for output in (encoding.output, *others)]
    if automatic:
        shown = sample(animation.split(encoding.image)[0])
        likeness = Likeness(shown)
        encodings = [_alike(one, shown, likeness) if one.lossy else one for one in encodings]
    limit = transform.max_bytes
    if limit and len(encodings) == 1 and (size := _estimated(encodings[0])) > limit * _MOST_REDUCTION:
        return _lowest(encodings[0], limit, size)
    best = min((Encoded(one.encode(), one) for one in encodings), key=lambda one: len(one.data))
    return _within(best, limit) if limit else best


def _estimated(encoding: Encoding) -> int:
    """Return about how many bytes a large picture will have, without encoding it as a whole; 0 for a small one."""
    frames = animation.split(encoding.image)
    shown, pixels = sample(frames[0]), frames[0].width * frames[0].height
    if pixels < _LARGE * shown.width * shown.height:
        return 0
    data = replace(encoding, image=shown, keep="none").encode()
    return int(len(data) * pixels * len(frames) / (shown.width * shown.height))


def _alike(encoding: Encoding, shown: pyvips.Image, likeness: Likeness) -> Encoding:
    """Return an encoding with the lowest quality at which a sample is as similar to its pixels as set."""

    @functools.cache
    def distortion(quality: int) -> float:
        transform = replace(encoding.transform, quality=quality)
        data = replace(encoding, image=shown, transform=transform, keep="none").encode()
        return max(1e-6, 1 - likeness.of(Recognized(data, encoding.output.name, "none").open()))

    settings = encoding.settings
    quality = _search(distortion, 1 - settings.similarity, settings.quality[encoding.output.name])
    return replace(encoding, transform=replace(encoding.transform, quality=quality))


def _search(distortion: Callable[[int], float], target: float, start: int) -> int:
    """Return the lowest quality with at most a distortion, found in a few tries by a logarithmic model."""
    low, high = _LEAST_AUTO - 1, min(100, max(_LEAST_AUTO, start) + _ABOVE_DEFAULT)
    quality, slope, before = max(start, _LEAST_AUTO), _DISTORTION_SLOPE, None
    for _ in range(_TRIES):
        found = distortion(quality)
        if found <= target:
            high = quality
            if found >= target * (1 - _CLOSE):
                break
        else:
            low = quality
        if high - low <= 1:
            break
        if before and before[0] != quality:
            measured = math.log(found / before[1]) / (quality - before[0])
            slope = min(-0.005, max(-0.2, measured))
        before = quality, found
        quality = min(high - 1, max(low + 1, math.ceil(quality + math.log(target * (1 - _CLOSE / 2) / found) / slope)))
    return high


def _within(whole: Encoded, limit: int) -> Encoded:
    """Return a file of at most so many bytes: the quality or the palette is reduced first, then the size."""
    if len(whole.data) <= limit:
        return whole
    if len(whole.data) > limit * _MOST_REDUCTION:
        return _lowest(whole.encoding, limit, len(whole.data))
    levels = _levels(whole.encoding)
    found = _reduced(whole, levels, limit) if levels else whole
    return found if len(found.data) <= limit else _smaller(found, limit, len(found.data))


def _lowest(encoding: Encoding, limit: int, size: int) -> Encoded:
    """Return a file of fewer pixels, in the lowest quality, of a picture that has so many bytes as it is."""
    transform, words = (_levels(encoding) or [(encoding.transform, "")])[-1]
    notes = (f"{REDUCED}{words}",) if words else ()
    return _smaller(Encoded(b"", replace(encoding, transform=transform), notes), limit, size)


def _levels(encoding: Encoding) -> list[tuple[Transform, str]]:
    """Return transforms of fewer bytes, in order, each with what was reduced."""
    transform, name = encoding.transform, encoding.output.name
    if encoding.lossy:
        top = transform.quality or encoding.settings.quality[name]
        return [(replace(transform, quality=one), f"quality {one}") for one in range(top - 1, _LEAST_QUALITY - 1, -1)]
    if name not in _PALETTES:
        return []
    return [
        (replace(transform, colors=one), f"{one} colors") for one in _PALETTES[name] if one < (transform.colors or 257)
    ]


def _reduced(whole: Encoded, levels: list[tuple[Transform, str]], limit: int) -> Encoded:
    """Return the best file of the levels within a limit, or the one with the fewest bytes."""

    @functools.cache
    def at(level: int) -> Encoded:
        transform, words = levels[level]
        encoding = replace(whole.encoding, transform=transform)
        return Encoded(encoding.encode(), encoding, (f"{REDUCED}{words}",))

    over, least = (-1, len(whole.data)), len(levels) - 1
    fits: int | None = None
    slope = _BYTES_SLOPE
    for _ in range(_SEARCHES):
        step = math.ceil(math.log(over[1] / (limit * (1 + _FULL) / 2)) / slope)
        level = min(over[0] + max(1, step), least if fits is None else fits - 1)
        size = len(at(level).data)
        if size > limit:
            slope = max(0.002, math.log(over[1] / size) / (level - over[0])) if size < over[1] else slope
            over = level, size
        else:
            slope = math.log(over[1] / size) / (level - over[0])
            fits = level
        if limit * _FULL <= size <= limit or (level == least if fits is None else fits - over[0] <= 1):
            break
    return at(least if fits is None else fits)


def _smaller(reduced: Encoded, limit: int, size: int) -> Encoded:
    """Return a file of fewer pixels within a limit, or raise MaxBytesUnreachable; whole, it has about `size` bytes."""
    whole = replace(reduced.encoding, image=gain_map.without_gain_map(reduced.encoding.image), indexed=None)
    factor, under, over, best, sizes = 1.0, 0.0, 1.0, reduced, [len(reduced.data)] if reduced.data else []
    for _ in range(_SIZES):
        # Between the greatest factor that fits and the least that does not.
        factor = min(max(factor * math.sqrt(limit * 0.97 / size), under * 1.03), over * 0.97)
        image = _scaled(whole.image, factor)
        encoding = replace(whole, image=image)
        data = encoding.encode()
        size = len(data)
        sizes.append(size)
        if size <= limit:
            shown = f"{image.width}x{animation.height_of(image)}"
            notes = (", ".join((*reduced.notes, shown)) if reduced.notes else f"{REDUCED}{shown}",)
            under, best = factor, Encoded(data, encoding, notes)
        else:
            over = factor
        if limit * _SIZE_FULL <= size <= limit or under > over * 0.94 or image.width == image.height == 1:
            break
    if under:
        return best
    detail = f"max-bytes: no picture of at most {limit} bytes can be made; the smallest has {min(sizes)}."
    raise MaxBytesUnreachable(detail, members={"smallest_bytes": min(sizes)})


def _scaled(image: pyvips.Image, factor: float) -> pyvips.Image:
    frames = animation.split(image)
    size = Size(*(max(1, math.floor(side * factor)) for side in (frames[0].width, frames[0].height)))
    scaled = [color.weighted(frame, lambda flat: resized(flat, size)).copy_memory() for frame in frames]
    return animation.joined(scaled)
