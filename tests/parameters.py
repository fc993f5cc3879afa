"""Queries with any parameters of pictures, for properties that hold for all of them."""

from typing import Any
from urllib.parse import urlencode

from hypothesis import assume
from hypothesis import strategies as st

from imgserve.transform import DECIMALS, MAX_SIDE, PARAMETERS, Parameter
from imgserve.transform.colors import BORDER, COLOR, COLORS, TRIM
from imgserve.transform.kinds import BOUND, FOUR, PIXELS, AnyKind

SAMPLES: dict[AnyKind, list[str]] = {
    COLOR: ["red", "white", "8f80", "0000"],
    COLORS: ["f00,8f80", "red,white"],
    FOUR: ["0", "7", "10,20", "1,2,3", "0,9000,5,40"],
    PIXELS: ["0", "12", "9000"],
    BORDER: ["0,red", "3,white", "9000,8f80"],
    BOUND: ["1", "300", "9000"],
    TRIM: ["auto", "color", "alpha", "white", "8f80"],
}
"""Values of the kinds of parameters that have neither words nor a range."""


def fractions(least: float, most: float) -> st.SearchStrategy[float]:
    return st.floats(least, most).map(lambda value: round(value, DECIMALS))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "width": st.integers(1, 20_000) | fractions(0.00001, 1),
    "height": st.integers(1, 20_000) | fractions(0.00001, 1),
    "aspect": st.tuples(st.integers(1, 900), st.integers(1, 900)),
    "dpr": fractions(0.01, 9) | st.integers(1, 9),
    "zoom": fractions(0.01, 9.9) | st.integers(1, 10),
    "crop": st.lists(st.sampled_from(["top", "left", "entropy", "faces", "focalpoint"]), min_size=1),
    "focus_x": fractions(0, 1),
    "focus_y": fractions(0, 1),
    "focus_zoom": fractions(1, 100),
    "rect": st.tuples(st.integers(0, 9), fractions(0, 0.9), st.integers(1, 99), fractions(0.1, 1)),
    **dict.fromkeys(("rotate", "hue"), fractions(0, 359.9) | st.integers(0, 359)),
    "orient": st.sampled_from([0, 1, 6, "90"]),
    "auto": st.sets(st.sampled_from(["format", "compress"]), min_size=1),
    "quality": st.integers(1, 100) | st.just("auto"),
    "max_bytes": st.integers(1, 10**9) | st.just("20KB"),
    "colors": st.integers(2, 256),
    "page": st.integers(1, 9),
    "frame": st.tuples(st.integers(1, 9), st.integers(9, 12)),
    "background": st.tuples(*[st.integers(0, 255)] * 4) | st.sampled_from(["red", "fff", "8f80"]),
    "fill_color": st.tuples(*[st.integers(0, 255)] * 4),
    "download": st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\"), max_size=20),
    "preset": st.sampled_from(["card", "Plain"]),
    **dict.fromkeys(("enlarge", "lossless", "progressive", "animate"), st.booleans()),
}


def _value_of(row: Parameter) -> st.SearchStrategy[Any]:
    kind = row.kind
    if row.attribute in VALUES:
        return VALUES[row.attribute]
    if kind.known or kind.words:
        return st.sampled_from(sorted(kind.known or kind.words)).map(kind.read)
    if kind.range is not None:
        return st.integers(*map(int, kind.range)).map(lambda value: kind.read(str(value)))
    return st.sampled_from(SAMPLES.get(kind, [row.example])).map(kind.read)


@st.composite
def asked(draw: st.DrawFn) -> dict[str, Any]:
    """Draw parameters with values that are right for them."""
    rows = draw(st.lists(st.sampled_from(PARAMETERS), unique_by=lambda row: row.name, max_size=9))
    values = {row.attribute: draw(_value_of(row)) for row in rows}
    assume(all(values.get(f"min_{side}", 0) <= values.get(f"max_{side}", MAX_SIDE) for side in ("width", "height")))
    return values


def plainly(parameters: dict[str, Any]) -> str:
    """Write parameters as a person would, one after the other and none left out."""
    texts = {row.name: row for row in PARAMETERS}
    pairs = [(name.replace("_", "-"), value) for name, value in parameters.items()]
    written = [(name, value if isinstance(value, str) else texts[name].kind.write(value)) for name, value in pairs]
    return urlencode(written)
