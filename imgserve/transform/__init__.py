"""What a caller asks for: a URL query turned into a `Transform` and back. No pixels, no HTTP.

The field table drives parsing, preset merge, canonical text, error messages and the docs.
"""

from imgserve.transform.canonical import canonical, likeness
from imgserve.transform.compose import compose, read_asked, transform_of
from imgserve.transform.kinds import DECIMALS
from imgserve.transform.normalize import effective_fit, settle, snapped
from imgserve.transform.parameters import FIELDS, MAX_DPR, Field, markdown_table
from imgserve.transform.parse import MAX_SIDE, Asked, Preset, parse_preset, parse_query
from imgserve.transform.value import Color, Fit, Gravity, Transform

__all__ = [
    "DECIMALS",
    "FIELDS",
    "MAX_DPR",
    "MAX_SIDE",
    "Asked",
    "Color",
    "Field",
    "Fit",
    "Gravity",
    "Preset",
    "Transform",
    "canonical",
    "compose",
    "effective_fit",
    "likeness",
    "markdown_table",
    "parse_preset",
    "parse_query",
    "read_asked",
    "settle",
    "snapped",
    "transform_of",
]
