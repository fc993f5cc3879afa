"""What a caller asks for: a URL query turned into a `Transform` and back. No pixels, no HTTP.

The field table drives parsing, preset merge, canonical text, error messages and the docs.
"""

from imgserve.transform.canonical import canonical
from imgserve.transform.fields import FIELDS, Field, markdown_table
from imgserve.transform.framing import effective_fit
from imgserve.transform.parse import MAX_SIDE, Asked, Preset, parse_preset, parse_query
from imgserve.transform.settle import settle
from imgserve.transform.snap import snapped
from imgserve.transform.value import Color, Fit, Gravity, Transform

__all__ = [
    "FIELDS",
    "MAX_SIDE",
    "Asked",
    "Color",
    "Field",
    "Fit",
    "Gravity",
    "Preset",
    "Transform",
    "canonical",
    "effective_fit",
    "markdown_table",
    "parse_preset",
    "parse_query",
    "settle",
    "snapped",
]
