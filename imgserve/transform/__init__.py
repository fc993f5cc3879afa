"""What a caller asks for: a URL query turned into a `Transform` and back. No pixels, no HTTP.

The field table drives parsing, preset merge, canonical text, error messages and the docs.
"""

from imgserve.transform.canonical import canonical, likeness
from imgserve.transform.compose import compose, read_parameters, transform_of
from imgserve.transform.kinds import DECIMALS
from imgserve.transform.normalize import effective_fit, normalize, snapped
from imgserve.transform.parameters import MAX_DPR, PARAMETERS, Parameter, markdown_table
from imgserve.transform.parse import MAX_SIDE, ParsedQuery, Preset, parse_preset, parse_query
from imgserve.transform.value import Color, Fit, Gravity, Transform

__all__ = [
    "DECIMALS",
    "MAX_DPR",
    "MAX_SIDE",
    "PARAMETERS",
    "Color",
    "Fit",
    "Gravity",
    "Parameter",
    "ParsedQuery",
    "Preset",
    "Transform",
    "canonical",
    "compose",
    "effective_fit",
    "likeness",
    "markdown_table",
    "normalize",
    "parse_preset",
    "parse_query",
    "read_parameters",
    "snapped",
    "transform_of",
]
