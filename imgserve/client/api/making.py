"""The calls that make pictures: convert, transform, warm, download. Each a value; nothing is sent here."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Unpack

from imgserve.client.api import reading, records
from imgserve.client.api.asking import Filters, Step, selection, selections, step_texts, texts
from imgserve.client.api.call import Answer, Call, once, posted
from imgserve.client.api.errors import AnswerNotUnderstood, ServerUnreachable
from imgserve.client.api.images import path_of
from imgserve.transform import compose, read_asked

_EXTENSION = re.compile(r"[A-Za-z0-9]+")
_MANY = "/api/transform"


def convert(image_id: str, extension: str, parameters: Mapping[str, Any]) -> Call[records.Picture]:
    """Ask for a picture in another format.

    Raises:
        BadTransform: with every mistake in the parameters.
        ValueError: the extension is none.
    """
    plain = extension.removeprefix(".")
    if not _EXTENSION.fullmatch(plain):
        raise ValueError(f"extension: expected one such as webp, but received {extension!r}")
    query = compose(read_asked(parameters))
    path = path_of(image_id, f"convert/{plain}") + (f"?{query}" if query else "")
    return Call(method="GET", path=path, read=picture_of)


def transform(image_id: str, steps: Step | Iterable[Step]) -> Call[records.Picture]:
    """Ask for a picture made in several steps."""
    return Call(
        method="POST",
        path=path_of(image_id, "transform"),
        read=picture_of,
        document={"steps": step_texts(steps), "output": "picture"},
        headers=once(),
    )


def transform_url(image_id: str, steps: Step | Iterable[Step]) -> Call[str]:
    """Ask for the address of a picture made in several steps."""
    document = {"steps": step_texts(steps), "output": "url"}
    return posted(path_of(image_id, "transform"), document, lambda of: str(of["url"]))


def transform_original(image_id: str, steps: Step | Iterable[Step], new_id: str | None) -> Call[records.Uploaded]:
    """Keep a picture made in several steps as a new original."""
    named = {} if new_id is None else {"id": new_id}
    document = {"steps": step_texts(steps), "output": "original", **named}
    return posted(path_of(image_id, "transform"), document, reading.uploaded, slow=True)


def transform_many(
    steps: Step | Iterable[Step],
    ids: Iterable[str] | None,
    output: Literal["urls", "originals"],
    **filters: Unpack[Filters],
) -> list[Call[list[records.Made]]]:
    """Ask for addresses of many pictures, or keep them as new originals."""
    asked, read = {"steps": step_texts(steps), "output": output}, reading.listed("results", reading.made)
    return [posted(_MANY, {**one, **asked}, read, slow=True) for one in selections(ids, filters)]


def transform_zip(steps: Step | Iterable[Step], ids: Iterable[str] | None, **filters: Unpack[Filters]) -> Call[Answer]:
    """Ask for many pictures in a ZIP, which is read as it comes."""
    document = {**selection(ids, filters), "steps": step_texts(steps), "output": "zip"}
    return Call(method="POST", path=_MANY, read=_itself, document=document, headers=once(), slow=True)


def warm(
    ids: Iterable[str] | None, presets: Iterable[str], transforms: Step | Iterable[Step], **filters: Unpack[Filters]
) -> Call[Answer]:
    """Let pictures be made ahead of time; how far it has come is read as it comes.

    Raises:
        ValueError: neither presets nor transforms are given.
    """
    asked = {"presets": texts("presets", presets), "transforms": step_texts(transforms)}
    if not any(asked.values()):
        raise ValueError("warm: expected presets or transforms, but received neither")
    document = {**selection(ids, filters), **asked}
    return Call(method="POST", path="/api/warm", read=_itself, document=document, headers=once(), slow=True)


def picture(url_path: str) -> Call[records.Picture]:
    """Ask for a picture as anybody may."""
    return Call(method="GET", path=url_path, read=picture_of, public=True)


def picture_of(answer: Answer) -> records.Picture:
    """Take a picture from its answer."""
    media_type = answer.headers["content-type"]
    if not media_type.startswith("image/"):
        raise ValueError(f"no picture, but {media_type}")
    return records.Picture(answer.content, media_type, answer.headers.get("x-image-adjusted", ""))


def _itself(answer: Answer) -> Answer:
    return answer


def warmed_line(line: str) -> records.Warmed:
    """Read a line of progress.

    Raises:
        AnswerNotUnderstood: it is none.
    """
    try:
        return reading.warmed(json.loads(line))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnswerNotUnderstood(f"warm: expected a line of progress, but received {line[:80]!r}") from error


def check_finished(last: records.Warmed | None) -> None:
    """Refuse an end that is none.

    Raises:
        ServerUnreachable: the server went away before it was done.
    """
    if last is None or not last.finished:
        raise ServerUnreachable("warm: the answer broke off before all was done")
