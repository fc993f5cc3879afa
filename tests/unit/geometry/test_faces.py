"""Crops to the faces that are known of an original."""

import pytest

from imgserve.formats import FORMATS
from imgserve.geometry.box import Size, Turn
from imgserve.geometry.faces import with_faces
from imgserve.geometry.plan import plan
from imgserve.model import Face
from imgserve.transform import canonical, normalize, parse_query

STORED = Size(1000, 800)
LARGE, SMALL = Face(0.1, 0.2, 0.2, 0.25), Face(0.8, 0.5, 0.1, 0.125)


def focused(query: str, faces: tuple[Face, ...] = (LARGE, SMALL), orientation: int = 1) -> str:
    found = with_faces(parse_query(query).transform, faces, STORED, orientation)
    normalized = normalize(found, FORMATS["jpg"], FORMATS["jpg"])
    return canonical(normalized).replace("format=jpg&", "")


BOX = "w=400&h=400"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("crop=faces", "crop=focalpoint&focus-y=0.4125&height=400&width=400"),
        ("crop=auto", "crop=focalpoint&focus-y=0.4125&height=400&width=400"),
        ("crop=faces,top&face-index=1", "crop=focalpoint&focus-x=0.2&focus-y=0.325&height=400&width=400"),
        ("crop=faces&faceindex=2", "crop=focalpoint&focus-x=0.85&focus-y=0.5625&height=400&width=400"),
        ("crop=faces,top&faceindex=3", "crop=top&height=400&width=400"),
        ("crop=faces&faceindex=3", "height=400&width=400"),
        ("crop=top,faces", "crop=top&height=400&width=400"),
        ("crop=entropy,auto", "crop=entropy&height=400&width=400"),
        ("crop=faces&faceindex=1&facepad=0",
         "crop=focalpoint&focus-x=0.2&focus-y=0.325&focus-zoom=4&height=400&width=400"),
        ("crop=faces&faceindex=1&facepad=0.5",
         "crop=focalpoint&focus-x=0.2&focus-y=0.325&focus-zoom=2&height=400&width=400"),
        ("crop=faces&facepad=10", "crop=focalpoint&focus-y=0.4125&height=400&width=400"),
        ("face-pad=1&face-index=1", "height=400&width=400"),
        ("crop=faces&facepad=1&fit=max", "fit=max&height=400&width=400"),
        ("", "height=400&width=400"),
    ],
)  # fmt: skip
def test_known_faces_are_a_focal_point(query: str, text: str) -> None:
    assert focused(f"{BOX}&{query}") == text


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("crop=faces", "height=400&width=400"),
        ("crop=faces,left", "crop=left&height=400&width=400"),
        ("crop=faces,auto", "crop=edges&height=400&width=400"),
        ("crop=auto,left", "crop=edges&height=400&width=400"),
        ("crop=auto&facepad=2", "crop=edges&height=400&width=400"),
    ],
)
def test_without_faces_the_next_word_decides(query: str, text: str) -> None:
    assert focused(f"{BOX}&{query}", ()) == text


@pytest.mark.parametrize("query", ["w=50&h=50", "w=90&h=40", "w=40&h=90", "w=60&ar=2:1&rot=90", "w=50&h=50&flip=h"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_crop_shows_the_padded_face(query: str, orientation: int) -> None:
    transform = with_faces(
        parse_query(f"{query}&crop=faces&face-index=1&face-pad=0.1").transform, (LARGE,), STORED, orientation
    )
    made = plan(STORED, transform, orientation=orientation)
    turn = Turn.upright(orientation, None)
    size = Size(*map(int, turn.size(1000, 800)))
    upright = turn.box(made.region, 1000, 800)
    assert upright.left <= (LARGE.x - 0.1 * LARGE.width) * size.width + 2
    assert upright.right >= (LARGE.x + 1.1 * LARGE.width) * size.width - 2
    assert upright.top <= (LARGE.y - 0.1 * LARGE.height) * size.height + 2
    assert upright.bottom >= (LARGE.y + 1.1 * LARGE.height) * size.height - 2
    # As close as the ratio allows.
    close = min(upright.width / (1.2 * LARGE.width * size.width), upright.height / (1.2 * LARGE.height * size.height))
    assert close == pytest.approx(1, abs=0.03)


def test_an_original_of_unknown_size_is_not_zoomed() -> None:
    found = with_faces(parse_query("w=9&h=9&crop=faces&face-pad=0").transform, (SMALL,), Size(0, 0), 1)
    assert (found.crop, found.focus_zoom) == (("focalpoint",), 1.0)
