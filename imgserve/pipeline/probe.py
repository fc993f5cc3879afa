"""What the header of an original tells, and the limits that it is held to before anything is decoded."""

from dataclasses import dataclass

from imgserve.errors import BadTransform, LimitExceeded, UnreadableImage
from imgserve.model import ImageInfo, Limits
from imgserve.pipeline import load
from imgserve.pipeline.load import Recognized, recognize
from imgserve.transform.value import Transform

_SWAPPED = {5, 6, 7, 8}


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of an original before a pixel is decoded."""

    width: int
    """Of one frame, as stored."""
    height: int
    frames: int
    alpha: bool
    orientation: int


def probe(data: bytes, limits: Limits | None = None) -> ImageInfo:
    """Tell format, upright size and frames of an image, refusing bombs.

    Raises:
        UnsupportedImage, UnreadableImage, LimitExceeded: as the names say.
    """
    limits = limits or Limits()
    opened = recognize(data, limits)
    header = read_header(opened, limits)
    return ImageInfo(opened.format, *upright_size(header), header.frames, header.alpha, header.orientation)


def upright_size(header: Header) -> tuple[int, int]:
    """Tell width and height as the picture is shown."""
    stored = (header.width, header.height)
    return stored[::-1] if header.orientation in _SWAPPED else stored


def read_header(opened: Recognized, limits: Limits) -> Header:
    """Read the header of an opened original and hold it to the limits."""
    if opened.format == "heic":
        width, height = load.size(opened.data)
        return _held(Header(width, height, 1, alpha=False, orientation=1), opened, limits)
    image = opened.open()
    field = {name: image.get(name) for name in ("n-pages", "orientation", "palette") if image.get_typeof(name)}
    header = Header(
        image.width,
        image.height,
        max(1, int(field.get("n-pages", 1))) if opened.animated or opened.paged else 1,
        image.hasalpha(),
        # libheif has turned an AVIF upright while loading, whatever its EXIF says (ISO/IEC 23008-12, 6.5.10).
        1 if opened.format in {"avif", "svg"} else int(field.get("orientation", 1)),
    )
    return _held(header, opened, limits)


def _held(header: Header, opened: Recognized, limits: Limits) -> Header:
    if header.width < 1 or header.height < 1:
        raise UnreadableImage("The original has no pixels.")
    side, most = max(header.width, header.height), limits.original_side
    if opened.format == "svg":
        most = limits.svg_side
        name = "svg_side"
    else:
        name = "original_side"
        if header.width * header.height > limits.original_pixels:
            raise LimitExceeded(
                f"The original has {header.width}x{header.height} pixels; "
                f"the limit original_pixels is {limits.original_pixels}."
            )
    if side > most:
        raise LimitExceeded(f"The original is {header.width}x{header.height}; the limit {name} is {most}.")
    return header


@dataclass(frozen=True, slots=True)
class Frames:
    """Which frames of an original are loaded."""

    first: int = 0
    count: int = 1
    notes: tuple[str, ...] = ()


def choose_frames(
    header: Header, opened: Recognized, transform: Transform, limits: Limits, *, animates: bool
) -> Frames:
    """Decide between the whole animation and one frame or page.

    Raises:
        BadTransform: a frame or page that the original does not have.
    """
    if opened.paged:
        return Frames(numbered("page", transform.page, header.frames))
    if transform.frame is not None and opened.animated:
        return Frames(numbered("frame", transform.frame, header.frames))
    if not (animates and transform.animate and header.frames > 1):
        return Frames()
    pixels = header.frames * header.width * header.height
    if header.frames > limits.frames or pixels > limits.animation_pixels:
        told = f"{header.frames} frames of {header.width}x{header.height}"
        return Frames(notes=(f"animation: {told} are over the limit, made of the first frame",))
    return Frames(0, header.frames)


def numbered(name: str, asked: int, available: int) -> int:
    """Turn the number of a frame or page, from 1, into its index.

    Raises:
        BadTransform: there are fewer.
    """
    if asked > available:
        raise BadTransform([f"{name}: expected 1..{available} for this original, but received {asked}"])
    return asked - 1
