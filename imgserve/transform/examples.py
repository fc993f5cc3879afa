"""An example of each parameter with one of the sample pictures, for the documentation."""

from collections.abc import Mapping
from dataclasses import dataclass

from imgserve.transform.parameters import PICTURE_GROUPS, Parameter


@dataclass(frozen=True, slots=True)
class Example:
    """A picture and a query that shows what a parameter does."""

    picture: str
    """Path below the folder of sample pictures."""
    query: str


_MOUNTAINS, _BALLOON, _GLASS, _TIDE = "mountains.jpg", "balloon.jpg", "glass.png", "tide.gif"
_USUAL = Example(_MOUNTAINS, "width=240")
_IN_GROUP: Mapping[str, Example] = {
    "Crop": Example(_BALLOON, "width=160&height=160"),
    "Effects": Example(_BALLOON, "width=160"),
    "Text": Example(_MOUNTAINS, "text=High+up&text-size=28&text-color=fff&width=240"),
    "Watermark": Example(_MOUNTAINS, "mark=compass.svg&mark-h=60&width=240"),
}
"""What the examples of a group have in common, if that is not the usual."""
_SPECIAL: Mapping[str, Example] = {
    "preset": Example(_BALLOON, "preset=noir&width=160"),
    "width": Example(_MOUNTAINS, "width=160"),
    "height": Example(_MOUNTAINS, "height=0.1"),
    "fit": Example(_MOUNTAINS, "fit=fill&width=240&height=200&fill-color=e8e4f0"),
    "enlarge": Example(_BALLOON, "enlarge=1&rect=0.62,0.3,80,80&width=160"),
    "min-width": Example(_MOUNTAINS, "min-width=240&height=100"),
    "max-width": Example(_MOUNTAINS, "max-width=160&height=160"),
    "min-height": Example(_MOUNTAINS, "min-height=240&width=160"),
    "max-height": Example(_MOUNTAINS, "max-height=100&width=240"),
    "dpr": Example(_MOUNTAINS, "dpr=2&width=120"),
    "crop": Example(_BALLOON, "crop=top,left&width=160&height=160"),
    "focus-x": Example(_BALLOON, "focus-x=0.9&width=120&height=240"),
    "focus-y": Example(_BALLOON, "focus-y=0.3&width=240&height=120"),
    "focus-zoom": Example(_BALLOON, "focus-zoom=2&focus-x=0.66&focus-y=0.33&width=160&height=160"),
    "face-pad": Example(_BALLOON, "face-pad=0.5&crop=faces&width=160&height=160"),
    "face-index": Example(_BALLOON, "face-index=1&crop=faces&width=160&height=160"),
    "rect": Example(_BALLOON, "rect=0.4,0.1,0.5,0.5&width=160"),
    "trim": Example(_GLASS, "trim=alpha&width=160"),
    "trim-color": Example(_MOUNTAINS, "trim-color=black&trim=color&trim-tol=60&width=240"),
    "trim-tol": Example(_MOUNTAINS, "trim-tol=120&trim=auto&width=240"),
    "orient": Example(_MOUNTAINS, "orient=90&width=120"),
    "rotate": Example(_MOUNTAINS, "rotate=15&width=240&background=fff"),
    "quality": Example(_MOUNTAINS, "quality=10&width=240"),
    "max-bytes": Example(_MOUNTAINS, "max-bytes=2KB&width=240"),
    "lossless": Example(_GLASS, "lossless=1&width=120&format=webp"),
    "colors": Example(_MOUNTAINS, "colors=8&format=png&width=240"),
    "background": Example(_GLASS, "background=ff8800&width=160"),
    "fill": Example(_MOUNTAINS, "fill=blur&fit=fill&width=240&height=200"),
    "fill-color": Example(_MOUNTAINS, "fill-color=navy&fit=fill&width=240&height=200"),
    "text": Example(_MOUNTAINS, "text=Hello&text-size=28&text-color=fff&width=240"),
    "text-color": Example(_MOUNTAINS, "text-color=ffd166&text=High+up&text-size=28&width=240"),
    "text-size": Example(_MOUNTAINS, "text-size=48&text=High+up&text-color=fff&width=240"),
    "text-width": Example(_MOUNTAINS, "text-width=0.4&text=High+up&text-size=28&text-color=fff&width=240"),
    "text-line": Example(
        _MOUNTAINS, "text-line=2&text-line-color=navy&text=High+up&text-size=28&text-color=fff&width=240"
    ),
    "text-line-color": Example(
        _MOUNTAINS, "text-line-color=navy&text-line=2&text=High+up&text-size=28&text-color=fff&width=240"
    ),
    "mark": Example(_MOUNTAINS, "mark=compass.svg&mark-h=60&width=240"),
    "mark-w": Example(_MOUNTAINS, "mark-w=0.25&mark=compass.svg&width=240"),
    "mark-h": Example(_MOUNTAINS, "mark-h=40&mark=compass.svg&width=240"),
    "mark-scale": Example(_MOUNTAINS, "mark-scale=30&mark=compass.svg&width=240"),
    "mark-tile": Example(_MOUNTAINS, "mark-tile=grid&mark=compass.svg&mark-h=30&mark-alpha=60&width=240"),
    "frame": Example(_TIDE, "frame=12&width=160"),
    "animate": Example(_TIDE, "animate=0&width=160"),
    "loop": Example(_TIDE, "loop=1&width=160"),
    "fps": Example(_TIDE, "fps=5&width=160"),
    "reverse": Example(_TIDE, "reverse=1&width=160"),
}


def example_of(row: Parameter) -> Example:
    """Return the example of a parameter, whose query begins with it."""
    if row.name in _SPECIAL:
        return _SPECIAL[row.name]
    group = next(name for name, rows in PICTURE_GROUPS.items() if row in rows)
    usual = _IN_GROUP.get(group, _USUAL)
    return Example(usual.picture, f"{row.name}={row.example}&{usual.query}")
