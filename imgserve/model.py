"""The nouns, as frozen values that are valid from birth. No behavior beyond arithmetic on themselves."""

from dataclasses import dataclass

from imgserve.formats import Format


def file_version(modified_ns: int, size: int) -> str:
    """Name the state of a file by its modification time and size, which rsync keeps and so nodes agree."""
    return f"{modified_ns:x}_{size:x}"


@dataclass(frozen=True, slots=True)
class Original:
    """The bytes as supplied, seen at one moment."""

    image_id: str
    """Public, path-like name; bytes that are not UTF-8 are kept as surrogate escapes."""
    version: str
    """Changes with the bytes: hexadecimal modification time (ns) and size."""
    size: int
    """Bytes."""
    modified_ns: int
    format: Format
    """By its first bytes."""
    width: int
    """Pixels as stored, before orientation; 0 where the header does not tell cheaply."""
    height: int
    path: str
    """Where a rendering process reads it: a resolved path below the originals folder."""

    @property
    def megapixels(self) -> float:
        """Stored pixels in millions."""
        return self.width * self.height / 1e6


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What a header tells of an image, upright."""

    format: str
    width: int
    """Pixels of the upright image (EXIF orientation applied), of one frame."""
    height: int
    frames: int = 1
    alpha: bool = False
    orientation: int = 1
    """EXIF orientation 1..8 as stored."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """What was made of an original."""

    data: bytes
    media_type: str
    width: int
    height: int
    notes: tuple[str, ...] = ()
    """What had to be done differently than asked, for `X-Image-Adjusted`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one picture may cost. Checked on the header, before decoding."""

    original_bytes: int = 64 * 1024 * 1024
    original_pixels: int = 50_000_000
    """Width x height of one frame of a still picture, or of all frames of an animation that is decoded whole."""
    original_side: int = 32_768
    frames: int = 500
    """Frames or pages that are read; a file may hold more."""
    animation_pixels: int = 50_000_000
    """Frames x width x height up to which an animation stays one; beyond it the first frame is served."""
    output_side: int = 8192
    output_pixels: int = 40_000_000
    svg_bytes: int = 10 * 1024 * 1024
    """After inflating."""
    svg_side: int = 10_000
    """Width or height that an SVG may declare."""
    avif_pixels: int = 2_500_000
    """Output pixels up to which `auto=format` chooses AVIF."""
