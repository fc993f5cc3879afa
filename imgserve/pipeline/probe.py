"""Read the header of an original and check it against the limits before anything is decoded."""

from dataclasses import dataclass

from imgserve.errors import BadTransform, LimitExceeded, UnreadableImage
from imgserve.model import Limits
from imgserve.pipeline import extras, load, pillow
from imgserve.pipeline.fields import field
from imgserve.pipeline.load import Recognized
from imgserve.transform.value import Transform

_SWAPPED = {5, 6, 7, 8}


@dataclass(frozen=True, slots=True)
class Header:
    """Facts of an original that need no decoding."""

    width: int
    """Pixels of one frame, as stored."""
    height: int
    frames: int
    alpha: bool
    orientation: int
    bits: int = 0
    """Bits of a pixel with a palette or few shades of gray; 0 for true color."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Facts in the header of an image."""

    format: str
    width: int
    """Pixels of one frame of the upright image."""
    height: int
    frames: int
    alpha: bool
    orientation: int
    """EXIF orientation 1..8, as stored."""


def probe(data: bytes, limits: Limits | None = None) -> ImageInfo:
    """Return format, upright size and frames of an image within the limits, without decoding it.

    Raises UnsupportedImage, UnreadableImage or LimitExceeded.
    """
    opened = load.recognize(data, limits or Limits())
    header = read_header(opened, limits or Limits())
    return ImageInfo(opened.format, *upright_size(header), header.frames, header.alpha, header.orientation)


def upright_size(header: Header) -> tuple[int, int]:
    """Return width and height of the upright picture."""
    stored = (header.width, header.height)
    return stored[::-1] if header.orientation in _SWAPPED else stored


def read_header(opened: Recognized, limits: Limits, *, page: int = 0) -> Header:
    """Return the header of an original, or raise UnreadableImage, or LimitExceeded if it is over the limits.

    The size is that of a page, by its index.
    """
    if opened.format == "heic":
        header = Header(*load.heic_size(opened.data), 1, alpha=False, orientation=1)
    elif opened.format in pillow.FORMATS or opened.format in extras.FORMATS:
        if opened.format in extras.FORMATS:
            found = extras.summary(opened.data, opened.format, page)
        else:
            found = pillow.summary(opened.data, opened.format)
        header = Header(found.width, found.height, found.frames, found.alpha, orientation=1)
    else:
        image = opened.open(header=True, **({"page": page} if page else {}))
        frames = max(1, int(field(image, "n-pages", 1))) if opened.animated or opened.paged else 1
        # libheif turns an AVIF upright while loading, whatever its EXIF says (ISO/IEC 23008-12, 6.5.10).
        orientation = 1 if opened.format in {"avif", "svg"} else int(field(image, "orientation", 1))
        depth = field(image, "bits-per-sample", 8)
        indexed = opened.format in {"png", "tiff"} and (depth < 8 or image.get_typeof("palette"))  # noqa: PLR2004  bits
        bits = depth if indexed else 0
        header = Header(image.width, image.height, frames, image.hasalpha(), orientation, bits)
    if header.width < 1 or header.height < 1:
        raise UnreadableImage("The original has no pixels.")
    size, vector = f"{header.width}x{header.height}", opened.format == "svg"
    if not vector and header.width * header.height > limits.original_pixels:
        raise LimitExceeded(f"The original has {size} pixels; the limit original_pixels is {limits.original_pixels}.")
    name, max_side = ("svg_side", limits.svg_side) if vector else ("original_side", limits.original_side)
    if max(header.width, header.height) > max_side:
        raise LimitExceeded(f"The original is {size}; the limit {name} is {max_side}.")
    return header


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of an original that are loaded."""

    first: int = 0
    """Index of the first one."""
    count: int = 1
    notes: tuple[str, ...] = ()


def choose_frames(
    header: Header, opened: Recognized, transform: Transform, limits: Limits, *, animates: bool
) -> Frames:
    """Return the whole animation, or one frame or page; raise BadTransform for one that the original does not have."""
    if opened.paged:
        return Frames(numbered("page", transform.page, header.frames))
    chosen = range(1)
    if opened.animated:
        chosen = frames_of(transform, header.frames)
    if opened.is_sequence:
        return Frames(notes=("animation: that of this original is not read, made of the first frame",))
    if not animates and len(chosen) > 1:
        return Frames(chosen.start, notes=(f"animation: {transform.format} has none, made of the first frame",))
    if len(chosen) > limits.frames or len(chosen) * header.width * header.height > limits.animation_pixels:
        text = f"{len(chosen)} frames of {header.width}x{header.height}"
        return Frames(chosen.start, notes=(f"animation: {text} are over the limit, made of the first frame",))
    return Frames(chosen.start, len(chosen))


def frames_of(transform: Transform, available: int) -> range:
    """Return the indexes of the requested frames; raise BadTransform if there are fewer."""
    first, last = transform.frame or (1, available if transform.animate else 1)
    return range(numbered("frame", first, available), min(last, available))


def numbered(name: str, number: int, available: int) -> int:
    """Return the index of a frame or page, or raise BadTransform if there are fewer."""
    if number > available:
        raise BadTransform([f"{name}: expected 1..{available} for this original, but received {number}"])
    return number - 1
