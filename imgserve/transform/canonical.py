"""The one text of a transform: sorted long names, defaults left out. It is the cache key and part of a file name."""

from dataclasses import fields
from urllib.parse import quote

from imgserve.transform.fields import FIELDS
from imgserve.transform.value import Transform

_DEFAULTS = Transform()
_ATTRIBUTES = frozenset(item.name for item in fields(Transform))
_ROWS = sorted((row for row in FIELDS if row.attribute in _ATTRIBUTES), key=lambda row: row.name)
_SAFE = ",:"  # readable in a URL and allowed in a file name, as the slash is not


def canonical(transform: Transform) -> str:
    """Write a transform so that equal transforms give equal text and parsing the text gives it back."""
    pairs = []
    for row in _ROWS:
        value = getattr(transform, row.attribute)
        if value != getattr(_DEFAULTS, row.attribute):
            pairs.append(f"{row.name}={quote(row.kind.write(value), safe=_SAFE)}")
    return "&".join(pairs)
