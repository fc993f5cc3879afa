"""Free metadata as callers give and change it: JSON that can be kept and told again. What it means is not known."""

import json
from typing import Any

from imgserve.web.api.mistakes import bad_request, expected

METADATA_CHARACTERS = 65_536
"""Of all metadata of an image, written as JSON."""
_LEVELS = 32
"""A record is told in lists too, and one that readers or writers of JSON find too deep would spoil them all."""


def checked_metadata(values: dict[str, Any]) -> dict[str, Any]:
    """Refuse what is too deep, too long, or cannot be written as JSON in UTF-8."""
    if not _ends(values, _LEVELS):
        raise expected(f"JSON of at most {_LEVELS} levels")
    try:
        text = json.dumps(values, allow_nan=False, ensure_ascii=False)
        text.encode()
    except ValueError:
        raise expected("JSON of Unicode text and finite numbers") from None
    if len(text) > METADATA_CHARACTERS:
        raise expected(f"at most {METADATA_CHARACTERS} characters of JSON")
    return values


def joined_metadata(metadata: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Apply a change to metadata by the rules of JSON Merge Patch.

    Raises:
        BadRequest: it would grow too long.
    """
    joined: dict[str, Any] = merge_patch(metadata, patch)
    # What is too long already, as several uploads may make it, may be shortened.
    if _characters(joined) > max(METADATA_CHARACTERS, _characters(metadata)):
        raise bad_request([f"metadata: expected at most {METADATA_CHARACTERS} characters of JSON with what is kept"])
    return joined


def _characters(values: dict[str, Any]) -> int:
    return len(json.dumps(values, ensure_ascii=False))


def merge_patch(target: object, patch: object) -> Any:
    """Apply a JSON Merge Patch, by RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _ends(value: object, levels: int) -> bool:
    """Tell whether nothing is nested deeper than this."""
    if not isinstance(value, (dict, list)):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_ends(one, levels - 1) for one in inner)
