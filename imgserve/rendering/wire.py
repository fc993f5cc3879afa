"""The wire format between server and rendering processes."""

import json
import re
import struct
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from imgserve.errors import ImgserveError, every_error, rebuilt
from imgserve.formats import FORMATS
from imgserve.model import Facts, Rendition
from imgserve.pipeline.embedded_text import TEXT_CHARACTERS
from imgserve.pipeline.facts import Inspected
from imgserve.pipeline.jobs import Kept, Rendered

T = TypeVar("T")
_LENGTHS = struct.Struct(">IQ")
LENGTHS_BYTES = _LENGTHS.size
_MOST_HEAD, _MOST_BODY = 1 << 20, 1 << 31
"""No answer is longer; one that says so comes from a process that has lost its mind."""
_MEDIA_TYPES = {known.media_type for known in FORMATS.values()}
_SHA256, _COLOR = re.compile("[0-9a-f]{64}"), re.compile("(#[0-9a-f]{6})?")
_HASHES, _MOST_THUMBHASH = 1 << 64, 64
_ERRORS = {kind.__name__: kind for kind in every_error()}


@dataclass(frozen=True, slots=True)
class Ready:
    """The process is up."""

    pipeline: str
    """Which pipeline and libvips it runs; part of every key."""


@dataclass(frozen=True, slots=True)
class Failed:
    """What was ordered cannot be done."""

    error: ImgserveError


Answer = Ready | Rendered | Kept | Inspected | Failed


def write_answer(answer: Answer) -> bytes:
    """Write an answer, lengths first."""
    body = b""
    told: dict[str, object]
    match answer:
        case Ready(pipeline):
            told = {"kind": "ready", "pipeline": pipeline}
        case Kept(size, seconds):
            told = {"kind": "kept", "size": size, "seconds": seconds}
        case Failed(error):
            told = {"kind": "failed", "error": type(error).__name__, "detail": error.detail}
            told |= {"retry_after": error.retry_after, "members": error.members}
        case Inspected(facts, seconds):
            told = {"kind": "inspected", "seconds": seconds}
            told |= asdict(facts) | {"thumbhash": facts.thumbhash.hex()}
        case Rendered(rendition, seconds, made_from, keeping):
            body = rendition.data
            told = {"kind": "rendered", "seconds": seconds, "made_from": made_from, "keeping": keeping}
            told |= {"media_type": rendition.media_type, "width": rendition.width, "height": rendition.height}
            told |= {"notes": rendition.notes, "crc32": rendition.crc32}
    head = json.dumps(told).encode()
    return _LENGTHS.pack(len(head), len(body)) + head + body


def lengths_of(begin: bytes) -> tuple[int, int]:
    """Read how long head and body of an answer are.

    Raises:
        ValueError: no answer is as long.
    """
    head, body = _LENGTHS.unpack(begin)
    if head > _MOST_HEAD or body > _MOST_BODY:
        raise ValueError(f"an answer of {head} and {body} bytes")
    return head, body


def read_answer(head: bytes, body: bytes) -> Answer:
    """Read an answer without its lengths.

    Raises:
        ValueError: it is none.
    """
    try:
        told = json.loads(head)
    except RecursionError as error:
        raise ValueError("no answer, and endless") from error
    if not isinstance(told, dict):
        raise ValueError("no answer")  # noqa: TRY004  whoever reads it catches one kind
    match told.get("kind"):
        case "ready":
            return Ready(_field(told, "pipeline", str))
        case "kept":
            return Kept(_field(told, "size", int), _field(told, "seconds", float))
        case "inspected":
            return Inspected(_facts(told), _field(told, "seconds", float))
        case "failed":
            return Failed(_error(told))
        case "rendered":
            return _rendered(told, body)
    raise ValueError("an answer of no known kind")


def _rendered(told: dict[str, Any], body: bytes) -> Rendered:
    media_type, made_from = _field(told, "media_type", str), told.get("made_from")
    notes = _field(told, "notes", list)
    if media_type not in _MEDIA_TYPES or not all(isinstance(note, str) for note in notes):
        raise ValueError("no picture")
    if made_from not in ("original", "mezzanine"):
        raise ValueError("a picture made from nothing")
    size = _field(told, "width", int), _field(told, "height", int)
    rendition = Rendition(body, media_type, *size, tuple(notes), _field(told, "crc32", int))
    return Rendered(rendition, _field(told, "seconds", float), made_from, keeping=_field(told, "keeping", bool))


def _facts(told: dict[str, Any]) -> Facts:
    texts: dict[str, Any] = {
        name: _text(told.get(name))
        for name in ("version", "sha256", "format", "color_space", "dominant_color", "title", "description")
    }
    numbers: dict[str, Any] = {name: _field(told, name, int) for name in ("width", "height", "size", "frames")}
    if not _SHA256.fullmatch(texts["sha256"]) or not _COLOR.fullmatch(texts["dominant_color"]):
        raise ValueError("no facts of an image")
    if texts["format"] not in FORMATS or min(numbers.values()) < 1:
        raise ValueError("facts of no image")
    alike = told.get("perceptual_hash")
    if alike is not None and not (type(alike) is int and 0 <= alike < _HASHES):
        raise ValueError("no perceptual hash")
    return Facts(
        **texts,
        **numbers,
        alpha=_field(told, "alpha", bool),
        perceptual_hash=alike,
        thumbhash=bytes.fromhex(_text(told.get("thumbhash"), 2 * _MOST_THUMBHASH)),
        keywords=tuple(_text(word) for word in _field(told, "keywords", list)),
        metadata={_text(name): _text(text) for name, text in _field(told, "metadata", dict).items()},
    )


def _text(told: object, most: int = TEXT_CHARACTERS) -> str:
    """Take a text that can be written in UTF-8, which halves of surrogate pairs cannot."""
    if not isinstance(told, str) or len(told) > most:
        raise ValueError("no text")
    told.encode()
    return told


def _error(told: dict[str, Any]) -> ImgserveError:
    kind, retry_after = _ERRORS.get(_field(told, "error", str)), told.get("retry_after")
    if kind is None or not (retry_after is None or type(retry_after) is int):
        raise ValueError("no error of ours")
    return rebuilt(kind, _field(told, "detail", str), retry_after, _field(told, "members", dict))


def _field(told: dict[str, Any], name: str, kind: type[T]) -> T:
    value = told.get(name)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"{name} is no {kind.__name__}")
    return value
