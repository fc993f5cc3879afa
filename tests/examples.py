"""Renders the example of each URL parameter into static/examples: part of `make docs`. A test compares the pictures."""

from pathlib import Path

import pyvips

from benchmarks.ssim import Likeness
from imgserve.model import Rendition
from imgserve.pipeline.render import render
from imgserve.transform import BUILT_IN_PRESETS, parse_query
from imgserve.transform.examples import example_of
from imgserve.transform.parameters import GROUPS, PICTURE_GROUPS, Parameter

STATIC = Path(__file__).parents[1] / "static"
_SIMILAR, _SAME_COLOR = 0.98, 1.0
_SMALL = "&format=webp&quality=70"


def rendered(row: Parameter) -> Rendition:
    """Return the example of a parameter, in a small format if the parameter does not concern the format."""
    example = example_of(row)
    small = "" if row in GROUPS["Format"] else _SMALL
    return sample(example.picture, example.query + small)


def sample(picture: str, query: str) -> Rendition:
    """Return a rendition of a sample picture, which may have others as watermarks."""
    transform = parse_query(query, strict=True, presets=BUILT_IN_PRESETS).transform
    mark = transform.mark
    marks = {mark: (STATIC / "samples" / mark).read_bytes()} if mark else {}
    return render((STATIC / "samples" / picture).read_bytes(), transform, marks=marks)


def example_file(row: Parameter) -> Path:
    """Return the file of an example, whatever its format; raise StopIteration if there is none."""
    return next((STATIC / "examples").glob(f"{row.name}.*"))


def alike(one: bytes, other: bytes) -> bool:
    """Return whether two files show the same pictures, all frames of them."""
    first, second = (opened(data) for data in (one, other))
    same_size = (first.width, first.height, first.bands) == (second.width, second.height, second.bands)
    likeness = Likeness(first)
    return same_size and likeness.ssim(second) >= _SIMILAR and likeness.color_error(second) <= _SAME_COLOR


def opened(data: bytes) -> pyvips.Image:
    """Return a picture, with all frames if it is an animation."""
    moves = data[:4] in (b"RIFF", b"GIF8")
    return pyvips.Image.new_from_buffer(data, "", **({"n": -1} if moves else {}))


def write_examples() -> None:
    """Render the examples that are missing or look different, and remove those of parameters that do not exist."""
    folder = STATIC / "examples"
    folder.mkdir(exist_ok=True)
    names = set[str]()
    for row in (row for rows in PICTURE_GROUPS.values() for row in rows):
        made = rendered(row)
        file = folder / f"{row.name}.{made.media_type.removeprefix('image/').replace('jpeg', 'jpg')}"
        names.add(file.name)
        if not (file.exists() and alike(file.read_bytes(), made.data)):
            file.write_bytes(made.data)
    for file in folder.iterdir():
        if file.name not in names:
            file.unlink()
