"""A crop to faces is an ordinary picture with a focal point, so that its key follows the faces."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from imgserve.app import Parts, create_app
from imgserve.config import Config
from imgserve.images.locate import Found
from imgserve.model import Face, FocalPoint
from tests.pictures import encoded, quarters
from tests.servers import settled


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    settled(tmp_path / "in/shoe.jpg", encoded(quarters(), "jpg"))
    places = {"originals": {"folder": tmp_path / "in"}, "cache": {"folder": tmp_path / "cache"}}
    made: Parts = create_app(Config.model_validate(places)).state.parts
    return made


@pytest.mark.parametrize("point", [None, FocalPoint(0.1, 0.9)])
@pytest.mark.parametrize(
    ("query", "found", "not_found"),
    [
        ("crop=faces,top", "crop=focalpoint&focus-x=0.3&focus-y=0.4&format=jpg", "crop=top&format=jpg"),
        ("crop=auto", "crop=focalpoint&focus-x=0.3&focus-y=0.4&format=jpg", "crop=edges&format=jpg"),
        ("crop=top,faces", "crop=top&format=jpg", "crop=top&format=jpg"),
        ("", "format=jpg", "format=jpg"),
    ],
)
def test_the_key_is_that_of_the_focal_point(
    parts: Parts, point: FocalPoint | None, query: str, found: str, not_found: str
) -> None:
    original = parts.originals.stat("shoe.jpg").focused(point)
    for faces, text in (((Face(0.2, 0.3, 0.2, 0.2),), found), ((), not_found)):
        seen = replace(original, faces=faces)
        request = asyncio.run(parts.resolver.request(Found(seen), f"w=90&h=90&{query}", ()))
        assert request.key.canonical == f"{text}&height=90&width=90"
