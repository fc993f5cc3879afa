"""The URL language: a query becomes a `Transform` and back.

Parsing, presets, canonical text, error messages and the documentation derive from the table of parameters.
"""

from imgserve.transform.compose import compose, compose_chain, read_parameters, transform_of
from imgserve.transform.kinds import DECIMALS
from imgserve.transform.merge import MAX_SIDE
from imgserve.transform.normalize import canonical, canonical_steps, effective_fit, likeness, normalize
from imgserve.transform.parameters import MAX_DPR, PARAMETERS, Parameter
from imgserve.transform.parse import ParsedQuery, Preset, parse_query
from imgserve.transform.presets import BUILT_IN_PRESETS, link_presets, parse_preset
from imgserve.transform.signing import Verified, canonical_text, sign, signed_url, verify
from imgserve.transform.value import Color, Fit, Gravity, Transform

__all__ = [
    "BUILT_IN_PRESETS", "DECIMALS", "MAX_DPR", "MAX_SIDE", "PARAMETERS", "Color", "Fit", "Gravity", "Parameter",
    "ParsedQuery", "Preset", "Transform", "Verified", "canonical", "canonical_steps", "canonical_text", "compose",
    "compose_chain", "effective_fit", "likeness", "link_presets", "normalize", "parse_preset", "parse_query",
    "read_parameters", "sign", "signed_url", "transform_of", "verify",
]  # fmt: skip
