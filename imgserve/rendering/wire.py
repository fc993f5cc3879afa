"""Messages between server and rendering processes, and their format."""

import json
import pickle
import re
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from imgserve.errors import ImgserveError, every_error, rebuilt
from imgserve.formats import FORMATS
from imgserve.model import TEXT_CHARACTERS, Face, Facts, FocalPoint, Limits, Rendition
from imgserve.pipeline.order import EncoderSettings
from imgserve.transform import Transform

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Resources that a rendering process may use."""

    niceness: int = 10
    memory_bytes: int = 2 * 1024**3
    """Address space; a process that needs more dies and costs one picture."""
    allowed_loaders: tuple[str, ...] = ()
    """libvips loader classes allowed in addition to imgserve's own."""
    sandbox: Literal["auto", "required", "off"] = "auto"
    """Whether the process is confined: where the kernel supports it, or it does not start, or not."""
    idle: bool = False
    """Run only while no other process of the machine has work."""
    faces: bool = False
    """Find the faces in originals that are inspected."""


@dataclass(frozen=True, slots=True)
class MarkFile:
    """The file of an original that is laid over the picture; fields as in `RenderJob`."""

    image_id: str
    path: str
    version: str


@dataclass(frozen=True, slots=True)
class RenderJob:
    """One picture to render."""

    path: str
    version: str
    """`Original.file_version` of the file."""
    transform: Transform | None
    """None: only the mezzanine is written."""
    limits: Limits = field(default_factory=Limits)
    encoders: EncoderSettings = field(default_factory=EncoderSettings)
    damaged: bool = False
    """Render what can be decoded of a broken file."""
    mezzanine: Path | None = None
    """The mezzanine to start from if it has the detail."""
    store: Path | None = None
    """New file for a mezzanine, written after the picture."""
    compact: bool = False
    """Write it in the compact form."""
    focal_point: FocalPoint | None = None
    then: tuple[Transform, ...] = ()
    """Transforms of the result, one after the other; only the last is encoded and sent."""
    image_id: str = ""
    """For the log."""
    marks: tuple[MarkFile, ...] = ()


@dataclass(frozen=True, slots=True)
class InspectJob:
    """One original to read the facts of; fields as in `RenderJob`."""

    path: str
    version: str
    limits: Limits = field(default_factory=Limits)
    damaged: bool = False
    store: Path | None = None
    """New file for a mezzanine, written after the facts from the same decoded pixels."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The process is ready for jobs."""

    pipeline: str
    """Version of pipeline and libvips; part of every key."""
    sandbox: str = ""
    """What confines the process."""
    confined: bool = False
    """Whether that is all there is."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A picture."""

    rendition: Rendition
    seconds: float
    made_from: Literal["original", "mezzanine"] = "original"
    storing: bool = False
    """A mezzanine is being written; `Stored` follows."""
    broken: bool = False
    """The mezzanine of the job is broken."""
    started: float = 0.0
    """The time when rendering began, by the monotonic clock of all processes of a machine."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A mezzanine was written, or not: 0 bytes."""

    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Inspected:
    """The facts of an original."""

    facts: Facts
    seconds: float
    storing: bool = False
    """A mezzanine is being written; `Stored` follows."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The job failed."""

    error: ImgserveError


Job = ProcessLimits | RenderJob | InspectJob
Answer = Ready | Rendered | Stored | Inspected | Failed
_JOB_LENGTH_BYTES = 8
_LENGTHS = struct.Struct(">IQ")
LENGTHS_BYTES = _LENGTHS.size
_MAX_HEAD, _MAX_BODY = 1 << 20, 1 << 31
"""A longer answer can only come from a process with corrupt memory."""
_MEDIA_TYPES = {known.media_type for known in FORMATS.values()}
_SHA256, _COLOR = re.compile("[0-9a-f]{64}"), re.compile("(#[0-9a-f]{6})?")
_BLURHASH = re.compile(r"[0-9A-Za-z#$%*+,.:;=?@\[\]^_{|}~-]{0,166}")
_HASHES, _MAX_THUMBHASH, _MAX_FACES = 1 << 64, 64, 100
_FACE = ("x", "y", "width", "height")
_ERRORS = {kind.__name__: kind for kind in every_error()}


def write_job(job: Job) -> bytes:
    """Return a job as its length, most significant byte first, and a pickle, since the server is trusted."""
    packed = pickle.dumps(job, pickle.HIGHEST_PROTOCOL)
    return len(packed).to_bytes(_JOB_LENGTH_BYTES, "big") + packed


def read_job(stream: BinaryIO) -> Job | None:
    """Return the next job, or None at the end."""
    head = stream.read(_JOB_LENGTH_BYTES)
    if len(head) < _JOB_LENGTH_BYTES:
        return None
    job: Job = pickle.loads(stream.read(int.from_bytes(head, "big")))  # noqa: S301  written by the server
    return job


def write_answer(answer: Answer) -> bytes:
    """Return an answer as the lengths of head and body, a JSON head, and a body."""
    body = b""
    head: dict[str, object]
    match answer:
        case Ready():
            head = {"kind": "ready", **asdict(answer)}
        case Stored(size, seconds):
            head = {"kind": "stored", "size": size, "seconds": seconds}
        case Failed(error):
            head = {"kind": "failed", "error": type(error).__name__, "detail": error.detail}
            head |= {"retry_after": error.retry_after, "members": error.members}
        case Inspected(facts, seconds, storing):
            head = {"kind": "inspected", "seconds": seconds, "storing": storing}
            head |= asdict(facts) | {"thumbhash": facts.thumbhash.hex()}
        case Rendered(rendition, seconds, made_from, storing, broken, started):
            body = rendition.data
            head = {"kind": "rendered", "seconds": seconds, "made_from": made_from, "storing": storing}
            head |= {"broken": broken, "started": started}
            head |= {"media_type": rendition.media_type, "width": rendition.width, "height": rendition.height}
            head |= {"notes": rendition.notes, "crc32": rendition.crc32}
    packed = json.dumps(head).encode()
    return _LENGTHS.pack(len(packed), len(body)) + packed + body


def read_lengths(start: bytes) -> tuple[int, int]:
    """Return the lengths of head and body; raise ValueError for lengths that no answer has."""
    head, body = _LENGTHS.unpack(start)
    if head > _MAX_HEAD or body > _MAX_BODY:
        raise ValueError(f"an answer of {head} and {body} bytes")
    return head, body


def read_answer(head: bytes, body: bytes) -> Answer:
    """Return an answer read from its head and body, or raise ValueError."""
    try:
        values = json.loads(head)
    except RecursionError as error:
        raise ValueError("the head is nested too deep") from error
    if not isinstance(values, dict):
        raise ValueError("the head is no object")  # noqa: TRY004  the caller catches one kind
    match values.get("kind"):
        case "ready":
            return Ready(
                _value(values, "pipeline", str), _value(values, "sandbox", str), _value(values, "confined", bool)
            )
        case "stored":
            return Stored(_value(values, "size", int), _value(values, "seconds", float))
        case "inspected":
            return Inspected(_facts(values), _value(values, "seconds", float), _value(values, "storing", bool))
        case "failed":
            kind, retry_after = _ERRORS.get(_value(values, "error", str)), values.get("retry_after")
            if kind is None or not (retry_after is None or type(retry_after) is int):
                raise ValueError("an unknown error")
            return Failed(rebuilt(kind, _value(values, "detail", str), retry_after, _value(values, "members", dict)))
        case "rendered":
            return _rendered(values, body)
    raise ValueError("an answer of an unknown kind")


def _rendered(values: dict[str, Any], body: bytes) -> Rendered:
    media_type, made_from = _value(values, "media_type", str), values.get("made_from")
    notes = _value(values, "notes", list)
    if media_type not in _MEDIA_TYPES or not all(isinstance(note, str) for note in notes):
        raise ValueError("invalid media type or notes")
    if made_from not in ("original", "mezzanine"):
        raise ValueError("invalid made_from")
    size = _value(values, "width", int), _value(values, "height", int)
    rendition = Rendition(body, media_type, *size, tuple(notes), _value(values, "crc32", int))
    storing, broken = (_value(values, name, bool) for name in ("storing", "broken"))
    seconds, started = (_value(values, name, float) for name in ("seconds", "started"))
    return Rendered(rendition, seconds, made_from, storing=storing, broken=broken, started=started)


def _facts(values: dict[str, Any]) -> Facts:
    texts: dict[str, Any] = {
        name: _text(values.get(name))
        for name in ("version", "sha256", "format", "color_space", "dominant_color", "blurhash", "title", "description")
    }
    numbers: dict[str, Any] = {name: _value(values, name, int) for name in ("width", "height", "size", "frames")}
    if not _SHA256.fullmatch(texts["sha256"]) or not _COLOR.fullmatch(texts["dominant_color"]):
        raise ValueError("invalid hash or color")
    colors = tuple(_text(color) for color in _value(values, "palette", list))
    if not all(color and _COLOR.fullmatch(color) for color in colors) or not _BLURHASH.fullmatch(texts["blurhash"]):
        raise ValueError("invalid palette or BlurHash")
    if texts["format"] not in FORMATS or min(numbers.values()) < 1:
        raise ValueError("invalid format or size")
    perceptual_hash = values.get("perceptual_hash")
    if perceptual_hash is not None and not (type(perceptual_hash) is int and 0 <= perceptual_hash < _HASHES):
        raise ValueError("invalid perceptual hash")
    faces = _value(values, "faces", list)
    if len(faces) > _MAX_FACES or not all(isinstance(face, dict) for face in faces):
        raise ValueError("invalid faces")
    return Facts(
        **texts,
        **numbers,
        palette=colors,
        alpha=_value(values, "alpha", bool),
        perceptual_hash=perceptual_hash,
        thumbhash=bytes.fromhex(_text(values.get("thumbhash"), 2 * _MAX_THUMBHASH)),
        faces=tuple(Face(*(_value(face, name, float) for name in _FACE)) for face in faces),
        keywords=tuple(_text(word) for word in _value(values, "keywords", list)),
        metadata={_text(name): _text(text) for name, text in _value(values, "metadata", dict).items()},
    )


def _text(value: object, max_length: int = TEXT_CHARACTERS) -> str:
    """Return a text that can be written in UTF-8, unlike halves of surrogate pairs."""
    if not isinstance(value, str) or len(value) > max_length:
        raise ValueError("invalid text")
    value.encode()
    return value


def _value(values: dict[str, Any], name: str, kind: type[T]) -> T:
    value = values.get(name)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"{name} is no {kind.__name__}")
    return value
