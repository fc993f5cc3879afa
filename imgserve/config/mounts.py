"""Further folders of originals in the settings: by prefix, or as text, as environment variables have no other way."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from imgserve.config.values import expand, mistake, stated
from imgserve.errors import BadImageId
from imgserve.originals.names import check_id

Folders = Mapping[str, Path]
"""By the beginning of the image ids, without a slash at its end."""

FOLDERS_SCHEMA = {
    "anyOf": [{"type": "object", "additionalProperties": {"type": "string", "minLength": 1}}, {"type": "string"}]
}


def read_folders(value: object, main: Path | None) -> Folders:
    """Check every prefix and folder, each of which lies apart from the main one; every mistake is raised at once."""
    folders = _pairs(value) if isinstance(value, str) else value
    if not isinstance(folders, Mapping):
        raise mistake("folders by prefix, or text such as archive=/mnt/archive,press/2024=/mnt/press")
    errors = [detail for prefix, folder in folders.items() for detail in _mistakes(prefix, folder, main)]
    if errors:
        raise ValidationError.from_exception_data("folders", errors)
    return {prefix: expand(Path(folder)) for prefix, folder in folders.items()}


def _pairs(text: str) -> Mapping[str, str]:
    """Read `prefix=folder` separated by commas."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    found: dict[str, str] = {}
    for prefix, equals, folder in pairs:
        if not equals or prefix.strip() in found:
            raise mistake("each prefix once, as prefix=folder, separated by commas")
        found[prefix.strip()] = folder.strip()
    return found


def _mistakes(prefix: Any, folder: Any, main: Path | None) -> Iterator[InitErrorDetails]:
    try:
        check_id(str(prefix))
    except BadImageId as error:
        reason = error.detail.partition(": ")[2].rstrip(".")
        yield _at(prefix, stated(f"no image ids can begin with {str(prefix)!r}: {reason}"), folder)
    try:
        path = _folder(folder)
    except PydanticCustomError as error:
        yield _at(prefix, error, folder)
    else:
        if main is not None and (sentence := _nested(real(main), real(path))):
            yield _at(prefix, stated(sentence), folder)


def _folder(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise mistake("a folder")
    return expand(Path(value))


def real(folder: Path) -> Path:
    """Resolve a folder; unlike Path.resolve this does not raise where links go round in circles."""
    return Path(os.path.realpath(folder))


def is_served(folder: Path, originals: Path) -> bool:
    """Return whether files in the folder have image ids: it is among the originals, and not hidden."""
    inside = folder.is_relative_to(originals)
    return inside and not any(part.startswith(".") for part in folder.relative_to(originals).parts)


def _nested(main: Path, folder: Path) -> str:
    """Say why a folder cannot be served beside the main one: the same file would have two ids, one of them writable."""
    if folder == main:
        return f"{folder} is the folder of originals itself"
    if folder.is_relative_to(main):
        return f"{folder} is inside the folder of originals, {main}, and served from there"
    if main.is_relative_to(folder):
        return f"the folder of originals, {main}, must not be inside {folder}"
    return ""


def _at(prefix: Any, error: PydanticCustomError, received: object) -> InitErrorDetails:
    return {"type": error, "loc": (str(prefix),), "input": received}
