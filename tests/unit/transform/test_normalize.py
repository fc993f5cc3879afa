"""What is left of a transform once original and output are known."""

import pytest

from imgserve.errors import BadTransform
from imgserve.formats import FORMATS
from imgserve.transform import canonical, normalize, parse_query


def settled(query: str, original: str = "jpg", output: str = "jpg", **qualities: int) -> str:
    transform = parse_query(query).transform
    text = canonical(normalize(transform, FORMATS[original], FORMATS[output], qualities))
    return "&".join(item for item in text.split("&") if item != f"format={output}")


FRAMES = [
    ("w=400&h=300&fit=crop", "height=300&width=400"),
    ("w=400&h=300&fit=min", "height=300&width=400"),
    ("w=400&h=300&fit=min&enlarge=1", "height=300&width=400"),
    ("w=400&h=300&enlarge=1", "enlarge=1&height=300&width=400"),
    ("w=400&h=300&fit=clip", "fit=max&height=300&width=400"),
    ("w=400&h=300&fit=max&enlarge=1", "fit=max&height=300&width=400"),
    ("w=400&h=300&fit=clip&enlarge=1", "enlarge=1&fit=clip&height=300&width=400"),
    ("w=400&h=300&fit=fillmax&enlarge=1", "fit=fill&height=300&width=400"),
    ("w=400&h=300&fit=fill", "fit=fill&height=300&width=400"),
    ("w=400&h=300&fit=fill&enlarge=1", "enlarge=1&fit=fill&height=300&width=400"),
    ("w=400&h=300&fit=scale", "fit=scale&height=300&width=400"),
    ("w=400&h=300&fit=clamp", "fit=clamp&height=300&width=400"),
    ("w=400&fit=max", "width=400"),
    ("w=400&fit=clip", "width=400"),
    ("w=400&fit=crop", "width=400"),
    ("h=400&fit=fill&fill=blur&fill-color=red", "height=400"),
    ("w=400&fit=scale", "width=400"),
    ("w=400&enlarge=1", "enlarge=1&fit=clip&width=400"),
    ("w=400&fit=clip&enlarge=1", "enlarge=1&fit=clip&width=400"),
    ("w=400&fit=max&enlarge=1", "width=400"),
    ("fit=crop&crop=top&enlarge=1&fp-x=0.1", ""),
    ("w=400&ar=4:3&fit=crop", "aspect=4:3&width=400"),
    ("w=400&h=300&ar=1:1", "height=300&width=400"),
    ("ar=4:3&fit=crop&enlarge=1", "aspect=4:3"),
    ("ar=4:3&fit=max", ""),
    ("ar=4:3&fit=fill", ""),
    ("rect=0,0,1.0,1.0", ""),
    ("rect=0,0,1,1", "rect=0,0,1,1"),
]

CROPS = [
    ("crop=center", ""),
    ("crop=faces", ""),
    ("crop=faces,entropy,top", "crop=entropy"),
    ("crop=edges,entropy", "crop=edges"),
    ("crop=left,top", "crop=top,left"),
    ("crop=top,entropy,left", "crop=top,left"),
    ("crop=top,center", "crop=top"),
    ("crop=top,bottom,left", "crop=left"),
    ("crop=left,right", ""),
    ("crop=focalpoint", ""),
    ("crop=focalpoint&fp-x=0.5&fp-y=0.5", ""),
    ("crop=focalpoint,top&fp-x=0.2&fp-y=0.5", "crop=focalpoint&focus-x=0.2"),
    ("fp-x=0.2", "crop=focalpoint&focus-x=0.2"),
    ("fp-z=2", "crop=focalpoint&focus-zoom=2"),
    ("crop=faces&fp-y=0.2", "crop=focalpoint&focus-y=0.2"),
    ("crop=top&fp-x=0.2", "crop=top"),
    ("crop=center&fp-x=0.2", ""),
    ("crop=entropy,focalpoint&fp-x=0.2&fp-z=3", "crop=entropy"),
]

OUTPUTS = [
    ("q=80", "jpg", "jpg", ""),
    ("q=70", "jpg", "jpg", "quality=70"),
    ("q=70", "jpg", "png", ""),
    ("q=70", "jpg", "tiff", ""),
    ("q=70", "gif", "gif", "colors=70"),
    ("q=200", "gif", "gif", "colors=200"),
    ("q=200&colors=16", "gif", "gif", "colors=16"),
    ("q=70&lossless=1", "jpg", "webp", "lossless=1"),
    ("q=70&lossless=1&chroma=444", "jpg", "avif", "lossless=1"),
    ("q=70&lossless=1", "jpg", "jpg", "quality=70"),
    ("auto=compress", "jpg", "jpg", "quality=65"),
    ("auto=compress,format", "jpg", "avif", "quality=51"),
    ("auto=compress&q=90", "jpg", "jpg", "quality=90"),
    ("auto=compress", "png", "png", ""),
    ("auto=compress&lossless=1", "png", "webp", "lossless=1"),
    ("auto=format", "jpg", "webp", ""),
    ("hdr=tonemap", "jpg", "jpg", "hdr=tonemap"),
    ("hdr=tonemap", "jpg", "webp", ""),
    ("hdr=tonemap", "png", "jpg", ""),
    ("hdr=tonemap", "heic", "jpg", "hdr=tonemap"),
    ("hdr=preserve", "jpg", "jpg", ""),
    ("progressive=1", "jpg", "jpg", "progressive=1"),
    ("progressive=1", "jpg", "webp", ""),
    ("progressive=0", "jpg", "jpg", ""),
    ("chroma=422", "jpg", "jpg", "chroma=444"),
    ("chroma=444", "jpg", "avif", "chroma=444"),
    ("chroma=444", "jpg", "webp", ""),
    ("colors=16", "jpg", "png", "colors=16"),
    ("colors=16", "jpg", "webp", ""),
    ("colors=256", "gif", "gif", ""),
    ("colors=256", "png", "png", "colors=256"),
    ("page=2", "tiff", "jpg", "page=2"),
    ("page=2", "heic", "jpg", ""),
    ("page=2", "jpg", "jpg", ""),
    ("frame=2&animate=0", "jpg", "jpg", ""),
    ("frame=2&animate=0", "gif", "gif", "frame=2"),
    ("frame=1", "gif", "webp", "animate=0"),
    ("animate=0", "webp", "webp", "animate=0"),
    ("animate=0", "gif", "png", ""),
    ("frame=1", "gif", "jpg", ""),
    ("frame=2", "webp", "jpg", "frame=2"),
    ("frame=2-3", "webp", "gif", "frame=2-3"),
    ("frame=2-3&loop=1&fps=5&reverse=1", "webp", "jpg", "frame=2"),
    ("loop=1&fps=5&reverse=1", "webp", "gif", "fps=5&loop=1&reverse=1"),
    ("loop=0&fps=5&reverse=1&frame=2", "webp", "gif", "frame=2"),
    ("loop=1&fps=5&reverse=1&animate=0", "gif", "gif", "animate=0"),
    ("loop=1&fps=5&reverse=1", "jpg", "webp", ""),
    ("bg=red", "jpg", "jpg", ""),
    ("bg=red", "png", "jpg", "background=ff0000"),
    ("bg=red", "png", "png", "background=ff0000"),
    ("bg=white", "png", "jpg", ""),
    ("bg=white", "png", "png", "background=ffffff"),
    ("bg=red&rotate=45", "jpg", "jpg", "background=ff0000&rotate=45"),
    ("bg=red&rotate=90", "jpg", "jpg", "rotate=90"),
]

FILLS = [
    ("", "jpg", "jpg", ""),
    ("fill-color=white", "jpg", "jpg", ""),
    ("fill-color=red&fill=blur", "jpg", "jpg", "fill=blur"),
    ("bg=red", "jpg", "jpg", "background=ff0000"),
    ("bg=red&fill-color=red", "jpg", "jpg", "background=ff0000"),
    ("bg=red&fill-color=blue", "jpg", "jpg", "fill-color=0000ff"),
    ("bg=red&fill-color=white", "jpg", "jpg", ""),
    ("bg=red&fill-color=white", "png", "jpg", "background=ff0000&fill-color=ffffff"),
    ("bg=red&fill=blur", "jpg", "png", "fill=blur"),
    ("fill-color=white", "png", "png", "fill-color=ffffff"),
]


VECTORS = [
    ("w=400&fit=max", "fit=max&width=400"),
    ("w=400&fit=clip&enlarge=1", "width=400"),
    ("w=400&h=300&fit=clip", "fit=clip&height=300&width=400"),
    ("w=400&h=300&fit=max", "fit=max&height=300&width=400"),
    ("w=400&h=300&fit=min&enlarge=1", "height=300&width=400"),
    ("w=400&h=300&fit=fillmax&fill=blur", "fill=blur&fit=fillmax&height=300&width=400"),
    ("fit=max&enlarge=1", ""),
]

STORED = [
    ("crop=center", "crop=center"),
    ("crop=left,right", "crop=center"),
    ("crop=top,center", "crop=top"),
    ("crop=focalpoint", ""),
    ("fp-x=0.5", "crop=focalpoint&focus-x=0.5"),
]


@pytest.mark.parametrize(("query", "text"), VECTORS)
def test_a_vector_grows_without_being_enlarged(query: str, text: str) -> None:
    assert settled(query, "svg", "png") == text


@pytest.mark.parametrize(("query", "text"), STORED)
def test_over_a_stored_focal_point_the_center_has_to_be_said(query: str, text: str) -> None:
    transform = parse_query(f"ar=2:1&{query}").transform
    once = normalize(transform, FORMATS["jpg"], FORMATS["jpg"], focal_point=True)
    left = canonical(once).split("&")
    assert [item for item in left if item not in ("aspect=2:1", "format=jpg")] == text.split("&") * bool(text)


def test_inside_a_rect_the_middle_of_the_picture_is_a_point() -> None:
    text = settled("ar=2:1&rect=0,0,9,9&fp-x=0.5&fp-y=0.5")
    assert text == "aspect=2:1&crop=focalpoint&focus-x=0.5&focus-y=0.5&rect=0,0,9,9"


@pytest.mark.parametrize(("query", "text"), FRAMES)
def test_the_frame_is_declared_in_one_way(query: str, text: str) -> None:
    assert settled(query) == text


@pytest.mark.parametrize(("query", "text"), CROPS)
def test_one_gravity_decides(query: str, text: str) -> None:
    assert settled(f"w=200&ar=2:1&{query}") == "&".join(filter(None, ["aspect=2:1", text, "width=200"]))


@pytest.mark.parametrize(("query", "original", "output", "text"), OUTPUTS)
def test_what_a_pair_of_formats_cannot_use_is_dropped(query: str, original: str, output: str, text: str) -> None:
    assert settled(query, original, output) == text


@pytest.mark.parametrize(("query", "original", "output", "text"), FILLS)
def test_only_the_color_that_fills_is_kept(query: str, original: str, output: str, text: str) -> None:
    rest = settled(f"w=9&ar=2:1&fit=fill&{query}", original, output).split("&")
    assert [item for item in rest if item not in ("aspect=2:1", "fit=fill", "width=9")] == [
        item for item in text.split("&") if item
    ]


def test_the_configured_quality_is_the_default() -> None:
    assert settled("q=60", jpg=60) == ""
    assert settled("q=80", jpg=60) == "quality=80"
    assert settled("auto=compress", jpg=60) == "quality=45"
    assert settled("auto=compress", jpg=10) == "quality=1"


def test_a_palette_quality_without_a_gif_is_a_mistake() -> None:
    with pytest.raises(BadTransform, match=r'integer 1\.\.100 for webp, but received "200"'):
        settled("q=200", "gif", "webp")


def test_the_output_format_is_written() -> None:
    assert canonical(normalize(parse_query("fm=auto").transform, FORMATS["jpg"], FORMATS["avif"])) == "format=avif"
