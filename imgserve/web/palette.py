"""The colors of a picture as JSON and as a style sheet."""

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_SATURATED = 0.4
_LIGHT, _DARK = 0.65, 0.35


def palette_json(colors: Sequence[str]) -> Mapping[str, Any]:
    """Return colors as `#rrggbb` with their parts from 0 to 1, and the first of each kind."""
    return {
        "colors": [_described(color) for color in colors],
        "dominant_colors": {kind: _described(color) for kind, color in _kinds(colors)},
    }


def palette_css(colors: Sequence[str], prefix: str) -> str:
    """Return a style sheet with two classes for each color: of the text, and of the background."""
    names = [*((str(number), color) for number, color in enumerate(colors, 1)), *_kinds(colors)]
    rules = [
        f".{prefix}-fg-{name.replace('_', '-')} {{ color: {color} !important; }}\n"
        f".{prefix}-bg-{name.replace('_', '-')} {{ background-color: {color} !important; }}\n"
        for name, color in names
    ]
    return "".join(rules)


def _kinds(colors: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the most frequent color of each kind that there is: vibrant or muted, light or dark or neither."""
    found = dict[str, str]()
    for color in colors:
        _, lightness, saturation = colorsys.rgb_to_hls(*_parts(color))
        name = "vibrant" if saturation >= _SATURATED else "muted"
        shade = "_light" if lightness >= _LIGHT else "_dark" if lightness <= _DARK else ""
        found.setdefault(f"{name}{shade}", color)
    yield from sorted(found.items())


def _described(color: str) -> Mapping[str, Any]:
    red, green, blue = _parts(color)
    return {"red": red, "green": green, "blue": blue, "hex": color}


def _parts(color: str) -> tuple[float, float, float]:
    red, green, blue = (round(part / 255, 6) for part in bytes.fromhex(color[1:]))
    return red, green, blue
