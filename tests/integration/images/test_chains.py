"""Chains in URLs: what each step may request, and under which keys their pictures are."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from imgserve.app import Parts, create_app
from imgserve.config import Config
from imgserve.errors import BadTransform
from imgserve.http.headers import AcceptClass
from imgserve.images.locate import Found
from imgserve.images.resolve import RenditionRequest
from tests.pictures import encoded, quarters
from tests.servers import settled


def parts_of(folder: Path, **settings: object) -> Parts:
    settled(folder / "in/shoe.jpg", encoded(quarters(), "jpg"))
    places = {"originals": {"folder": folder / "in"}, "cache": {"folder": folder / "cache"}}
    parts: Parts = create_app(Config.model_validate({**places, **settings})).state.parts
    return parts


def requested(parts: Parts, query: str, accepted: AcceptClass = ()) -> RenditionRequest:
    return asyncio.run(parts.resolver.request(Found(parts.originals.stat("shoe.jpg")), query.encode(), accepted))


def test_equal_chains_have_one_key_and_encodings_within_are_left_out(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    same = [
        "w=100&then&blur=5",
        "blur=0&width=100&q=5&fm=png&then&blur=5",
        "w=50&dpr=2&lossless=1&auto=format&then&blur=5&fm=jpg",
    ]
    keys = {requested(parts, query).key for query in same}
    assert [key.canonical for key in keys] == ["width=100&then&blur=5&format=jpg"]
    assert requested(parts, "blur=5&then&w=100").key not in keys
    assert requested(parts, "w=100&then&blur=5&auto=format", ("avif", "webp")).key.extension == "avif"


@pytest.mark.parametrize(
    ("rules", "query", "mistake"),
    [
        ({"presets_only": True}, "preset=noir&then&preset=fade", "then: only one preset is allowed here"),
        ({"parameters": ["width"]}, "w=5&then&w=5&blur=3&then&w=5", "step 2: blur: not allowed"),
        ({"sizes": [50], "reject_unlisted": True}, "w=50&then&w=51", "step 2: size: expected one of 50"),
        ({"sizes": [50], "reject_unlisted": True}, "w=51&then&w=50", "step 1: size: expected one of 50"),
        ({"sizes": [50], "reject_unlisted": True}, "w=50&then&w=0.9", "step 2: size: expected one of 50"),
        ({"output_pixels": 5000}, "w=100&then&w=5", "step 1: size: expected at most 5000 pixels"),
    ],
)
def test_every_step_is_within_the_rules(tmp_path: Path, rules: Mapping[str, object], query: str, mistake: str) -> None:
    with pytest.raises(BadTransform, match=mistake):
        requested(parts_of(tmp_path, rules=rules), query)


def test_a_size_of_any_step_is_raised_to_a_listed_one(tmp_path: Path) -> None:
    found = requested(parts_of(tmp_path, urls={"sizes": [50, 90]}), "w=40&then&rotate=90&then&w=51")
    assert found.key.canonical == "width=50&then&rotate=90&then&format=jpg&width=90"
    assert found.query.notes == (
        "width: 51 is not a size of this server, made 90",
        "step 1: width: 40 is not a size of this server, made 50",
    )
