"""The values that all parts share: originals, renditions, limits, and the records of the catalog."""

import hashlib
import unicodedata
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar, get_type_hints

from imgserve.formats import Format

TAG_CHARACTERS = 200
"""A longer tag is cut, because an index stores it."""

_SHA256_DIGITS = 64
_HASHES = 1 << 64


def file_version(modified_ns: int, size: int) -> str:
    """Return the version of a file: its modification time and size, which rsync preserves, so nodes agree."""
    return f"{modified_ns:x}_{size:x}"


def size_in(version: str) -> int:
    """Return the size in bytes that a version of a file states."""
    return int(version.partition("_")[2], 16)


@dataclass(frozen=True, slots=True)
class FocalPoint:
    """The point that crops keep, in fractions of the upright image from its upper left corner."""

    x: float
    y: float

    def __post_init__(self) -> None:
        """Reject a point outside the image; make equal points identical, because versions contain them."""
        if not (0 <= self.x <= 1 and 0 <= self.y <= 1):
            raise ValueError("expected a focal point of two fractions from 0 to 1")
        for name in ("x", "y"):
            object.__setattr__(self, name, float(getattr(self, name)) + 0.0)  # -0.0 becomes 0.0


@dataclass(frozen=True, slots=True)
class Face:
    """A box around a face, in fractions of the upright image from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        """Reject a box that is not inside the image."""
        if not (0 <= self.x <= self.x + self.width <= 1 and 0 <= self.y <= self.y + self.height <= 1):
            raise ValueError("expected a face inside the image")


@dataclass(frozen=True, slots=True)
class Focus:
    """What crops show of an image, as it is stored."""

    point: FocalPoint | None = None
    """Set by a person."""
    faces: tuple[Face, ...] = ()
    """Found in the bytes, the largest first."""
    version: str = ""
    """Of the bytes in which the faces were found."""


def focused_version(file_version: str, point: FocalPoint | None) -> str:
    """Return the version of an original with a focal point, or without one."""
    if point is None:
        return file_version
    return f"{file_version}_{hashlib.blake2b(f'{point.x} {point.y}'.encode()).hexdigest()[:7]}"


def bytes_version(version: str) -> str:
    """Return the `file_version` in the version of an original."""
    return "_".join(version.split("_")[:2])


@dataclass(frozen=True, slots=True)
class Original:
    """The bytes as supplied, at one moment."""

    image_id: str
    """Public, path-like name; bytes that are not UTF-8 are surrogate escapes."""
    version: str
    """Changes with the bytes, and with the focal point if there is one."""
    size: int
    """Bytes."""
    modified_ns: int
    format: Format
    """By its first bytes."""
    width: int
    """Pixels as stored, before orientation; 0 if the header does not contain them."""
    height: int
    path: str
    """Resolved path below the originals folder, for rendering processes."""
    focal_point: FocalPoint | None = None
    """The point that crops keep, if one was set."""
    faces: tuple[Face, ...] = ()
    """Found in these bytes, the largest first."""
    orientation: int = 1
    """As EXIF says, 1..8."""
    marks: tuple["Original", ...] = ()
    """The originals that are laid over it as watermarks."""

    @property
    def changed_ns(self) -> int:
        """When it or a mark on it was last modified."""
        return max(self.modified_ns, *(mark.modified_ns for mark in self.marks), 0)

    @property
    def file_version(self) -> str:
        """Version of the bytes alone: hexadecimal modification time (ns) and size."""
        return file_version(self.modified_ns, self.size)

    def focused(self, point: FocalPoint | None) -> "Original":
        """Return this original with another focal point, or None, and so with another version."""
        return replace(self, version=focused_version(self.file_version, point), focal_point=point)

    def marked(self, *marks: "Original") -> "Original":
        """Return this original with marks, on whose bytes its version depends too."""
        if not marks:
            return self
        versions = " ".join(mark.file_version for mark in marks)
        version = f"{self.version}_{hashlib.blake2b(versions.encode()).hexdigest()[:7]}"
        return replace(self, version=version, marks=marks)

    @property
    def megapixels(self) -> float:
        """Stored pixels in millions."""
        return self.width * self.height / 1e6


@dataclass(frozen=True, slots=True)
class Rendition:
    """A rendered result."""

    data: bytes
    media_type: str
    width: int
    height: int
    notes: tuple[str, ...] = ()
    """Deviations from the request, for `X-Image-Adjusted`."""
    crc32: int = -1
    """Of `data`; computed if it is negative."""

    def __post_init__(self) -> None:
        """Compute the checksum if it is missing."""
        if self.crc32 < 0:
            object.__setattr__(self, "crc32", zlib.crc32(self.data))


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one picture, which are checked on the header before decoding."""

    original_bytes: int = 64 * 1024 * 1024
    original_pixels: int = 50_000_000
    """Width x height of one frame of a still picture, or of all frames of an animation that is decoded whole."""
    original_side: int = 32_768
    frames: int = 500
    """Frames or pages that are read; a file may contain more."""
    animation_pixels: int = 50_000_000
    """Frames x width x height of an animation; of a larger one the first frame is served."""
    output_side: int = 8192
    output_pixels: int = 40_000_000
    svg_bytes: int = 10 * 1024 * 1024
    """After inflating."""
    svg_side: int = 10_000
    """Width or height that an SVG may declare."""
    avif_pixels: int = 2_500_000
    """Output pixels up to which `auto=format` chooses AVIF."""


@dataclass(frozen=True, slots=True)
class Doc:
    """Describes a field where it is declared, as in `Annotated[str, Doc("Title.")]`."""

    text: str
    """Sentence for the API reference."""
    name: str = ""
    """Name in the API and the client; empty where it is the name of the field."""
    editable: bool = False
    """Whether clients of the API can change it."""


D = TypeVar("D", bound=Doc)


def described_fields(owner: type, kind: type[D]) -> dict[str, D]:
    """Return the descriptions of the fields of a dataclass by the fields' names, in order."""
    hints = get_type_hints(owner, include_extras=True)
    return {
        field.name: replace(note, name=note.name or field.name)
        for field in fields(owner)
        for note in getattr(hints[field.name], "__metadata__", ())
        if isinstance(note, kind)
    }


METADATA = ("copyright", "creator", "credit", "taken")
"""The public facts of a file that have no field of their own in a record: keys of its metadata."""
TEXT_CHARACTERS = 2000
"""A longer text of a file is cut: captions of agencies are shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """Facts about an original that its bytes alone decide."""

    sha256: Annotated[str, Doc("SHA-256 of the original in hexadecimal.")]
    format: Annotated[str, Doc("Format of the original, decided by its first bytes.")]
    width: Annotated[int, Doc("Width of the upright image in pixels.")]
    height: Annotated[int, Doc("Height of the upright image in pixels.")]
    frames: Annotated[int, Doc("Number of frames; more than one in an animation.")] = 1
    size: Annotated[int, Doc("Size of the original in bytes.", name="bytes")]
    alpha: Annotated[bool, Doc("Whether the image has transparency.")] = False
    color_space: Annotated[str, Doc("Color space that the original declares.")] = ""
    dominant_color: Annotated[str, Doc("Dominant color as `#rrggbb`; empty if unknown.")] = ""
    palette: Annotated[
        tuple[str, ...], Doc("At most 16 distinct colors as `#rrggbb`, the most frequent first; empty if unknown.")
    ] = ()
    blurhash: Annotated[str, Doc("BlurHash, another placeholder; empty if unknown.")] = ""
    thumbhash: Annotated[
        bytes, Doc("ThumbHash in base64, a placeholder to show while the image loads; empty if unknown.")
    ] = b""
    perceptual_hash: Annotated[
        int | None, Doc("64 bits as 16 hexadecimal digits; images that look alike differ in few bits.")
    ] = None
    faces: Annotated[
        tuple[Face, ...], Doc("Boxes around faces as fractions of the upright image, the largest first.")
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts(FileFacts):
    """Facts that were read from an original whose pixels could be decoded."""

    version: str
    """`Original.file_version` of the file that was read."""
    title: str = ""
    """From EXIF, IPTC or XMP, as everything below."""
    description: str = ""
    keywords: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Further public facts of the file: copyright, creator, credit, time of the photo."""


class Origin(StrEnum):
    """How an original arrived."""

    UPLOAD = "upload"
    WATCH = "watch"
    IMPORT = "import"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord(FileFacts):
    """Everything that the catalog stores about one image.

    This is the declaration of the image fields: the columns of the catalog and the models of the API follow from it.
    Characters that no database stores are removed from the texts.
    """

    image_id: Annotated[
        str,
        Doc(
            "Public, path-like name. A byte that is not UTF-8 appears as a lone surrogate, U+DC80 to U+DCFF.", name="id"
        ),
    ]
    version: Annotated[str, Doc("Changes with the bytes of the original and with its focal point.")]
    title: Annotated[str, Doc("Title.", editable=True)] = ""
    alt: Annotated[str, Doc("Alternative text, which is read instead of the image.", editable=True)] = ""
    description: Annotated[str, Doc("Longer description.", editable=True)] = ""
    tags: Annotated[tuple[str, ...], Doc("Tags in order, each once.", editable=True)] = ()
    metadata: Annotated[Mapping[str, Any], Doc("Any JSON object.", editable=True)] = field(
        default_factory=dict, hash=False
    )
    focal_point: Annotated[FocalPoint | None, Doc("Point that crops keep, if one was set.", editable=True)] = None
    origin: Annotated[Origin, Doc("How the image arrived.")]
    who: Annotated[str, Doc("Who added it: the name of an API key or account, a job or a folder.")] = ""
    created: Annotated[datetime, Doc("When the image was first recorded, in UTC.")]
    changed: Annotated[datetime, Doc("When its record last changed, in UTC.")]

    def __post_init__(self) -> None:
        """Clean the texts, sort the tags, reject values that cannot be stored."""
        for name in ("who", "color_space", "title", "alt", "description"):
            object.__setattr__(self, name, clean_text(getattr(self, name)))
        object.__setattr__(self, "tags", clean_tags(self.tags))
        if len(self.sha256) != _SHA256_DIGITS or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError("expected a SHA-256 of 64 lower-case hexadecimal digits")
        if self.perceptual_hash is not None and not 0 <= self.perceptual_hash < _HASHES:
            raise ValueError("expected a perceptual hash of 64 bits")
        if self.created.tzinfo is None or self.changed.tzinfo is None:
            raise ValueError("expected times with a time zone")


EDITABLE = {name: doc for name, doc in described_fields(ImageRecord, Doc).items() if doc.editable}
"""The fields of a record that people write; all others follow from the bytes."""


def clean_text(text: str) -> str:
    """Return a text without NUL characters and lone surrogates, which no database stores."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "ignore").decode()


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags in order, each once, with equal spelling if they look alike, without empty ones."""
    cleaned = (" ".join(unicodedata.normalize("NFC", clean_text(tag)).split()) for tag in tags)
    return tuple(sorted({tag[:TAG_CHARACTERS].rstrip() for tag in cleaned if tag}))
