"""Which transforms show the same picture at another size or in another encoding."""

import pytest

from imgserve.formats import FORMATS
from imgserve.transform import Transform, canonical, likeness, normalize, parse_query


def asked(query: str, original: str) -> Transform:
    transform = parse_query(query).transform
    return normalize(transform, FORMATS[original], FORMATS[transform.format or "jpg"])


def alike(one: str, other: str, original: str) -> bool:
    form = FORMATS[original]
    return likeness(asked(one, original), form) == likeness(asked(other, original), form)


@pytest.mark.parametrize(
    ("one", "other", "original"),
    [
        ("width=800", "width=200", "jpg"),
        ("width=800", "height=200", "jpg"),
        ("width=800", "width=0.5", "jpg"),
        ("width=800", "width=400&dpr=2", "jpg"),
        ("width=800", "", "jpg"),
        ("width=800", "width=200&height=200&fit=max", "jpg"),
        ("width=800&height=600", "width=400&aspect=4:3", "jpg"),
        ("width=800&height=600&enlarge=1", "width=400&height=300&fit=min", "jpg"),
        ("width=800&format=avif", "width=800&format=webp", "jpg"),
        ("width=800&format=webp", "width=800&format=jpg", "jpg"),
        ("width=800&quality=90", "width=800&quality=30&auto=compress", "jpg"),
        ("width=800&format=webp&lossless=1", "width=800&format=webp", "jpg"),
        ("width=800&progressive=1&chroma=444", "width=800", "jpg"),
        ("width=80&crop=left&height=80", "width=40&crop=left&height=40", "jpg"),
        ("width=80&format=jpg", "width=80&format=png&background=white", "png"),
        ("width=8&height=8&fit=fill&fill-color=red", "width=4&height=4&fit=fill&fill-color=f00&format=png", "jpg"),
        ("width=80&format=jpg&animate=0", "width=40&format=png&background=white", "gif"),
        ("rotate=90&width=80", "rotate=90&width=40&format=png", "jpg"),
    ],
)
def test_scale_and_encoding_make_no_difference(one: str, other: str, original: str) -> None:
    assert alike(one, other, original)


@pytest.mark.parametrize(
    ("one", "other", "original"),
    [
        ("width=800&height=600", "width=800", "jpg"),
        ("width=80&height=80", "width=80&height=80&crop=left", "jpg"),
        ("width=80&height=80&crop=top", "width=80&height=80&crop=left", "jpg"),
        ("width=80&height=80&crop=entropy", "width=80&height=80&crop=edges", "jpg"),
        ("width=80&height=80&crop=focalpoint&focus-x=0.1", "width=80&height=80&crop=focalpoint&focus-x=0.2", "jpg"),
        ("width=80&height=80&crop=focalpoint&focus-zoom=2", "width=80&height=80", "jpg"),
        ("width=80&height=80&fit=fill", "width=80&height=80&fit=scale", "jpg"),
        ("width=80&height=80&fit=fill", "width=80&height=80&fit=fill&fill=blur", "jpg"),
        ("width=80&height=80&fit=fill&fill-color=red", "width=80&height=80&fit=fill&fill-color=blue", "jpg"),
        ("width=80&height=80&fit=fill&format=png", "width=80&height=80&fit=fill&format=jpg", "jpg"),
        ("rect=0,0,9,9", "", "jpg"),
        ("rotate=90", "", "jpg"),
        ("rotate=3&format=png", "rotate=3&format=jpg", "jpg"),
        ("flip=h", "flip=v", "jpg"),
        ("orient=6", "", "jpg"),
        ("background=red&format=png", "format=png", "png"),
        ("format=webp", "format=jpg", "png"),
        ("format=jpg", "format=jpg&background=red", "png"),
        ("colors=4&format=png", "format=png", "png"),
        ("page=2", "", "tiff"),
        ("frame=2&format=png", "format=png", "gif"),
        ("format=gif", "format=webp&animate=0", "gif"),
        ("format=webp", "format=jpg", "gif"),
        ("profile=origin", "", "jpg"),
        ("metadata=strip", "", "jpg"),
        ("hdr=tonemap", "", "jpg"),
    ],
)
def test_whatever_else_is_requested_makes_one(one: str, other: str, original: str) -> None:
    assert not alike(one, other, original)


def test_an_animation_is_like_a_smaller_one_in_another_format() -> None:
    assert alike("width=80&format=gif", "width=40&format=webp", "gif")


@pytest.mark.parametrize("query", ["width=80&height=80&fit=fill&format=png", "rotate=3&format=jpg", "format=webp"])
def test_what_is_read_back_from_a_name_has_the_same_likeness(query: str) -> None:
    form, transform = FORMATS["gif"], asked(query, "gif")
    again = parse_query(canonical(transform), strict=True).transform
    assert likeness(again, form) == likeness(transform, form)
