"""What a rendering process answers, as bytes: two lengths, a line of JSON, and the picture as it is.

Nothing in it can be more than data: whoever took over a process by a hostile picture cannot go on from there.
"""

import json
import struct
from dataclasses import dataclass
from typing import Any, TypeVar

from imgserve.errors import ImgserveError, every_error, rebuilt
from imgserve.formats import FORMATS
from imgserve.model import Rendition
from imgserve.pipeline.process import Kept, Rendered

T = TypeVar("T")

_LENGTHS = struct.Struct(">IQ")
LENGTHS_BYTES = _LENGTHS.size
_MOST_HEAD, _MOST_BODY = 1 << 20, 1 << 31
"""No answer is longer; one that says so comes from a process that has lost its mind."""

_MEDIA_TYPES = {known.media_type for known in FORMATS.values()}
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


Answer = Ready | Rendered | Kept | Failed


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
