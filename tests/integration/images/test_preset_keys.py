"""What a preset makes of an original is exactly what is served under it."""

import asyncio
from pathlib import Path

import pytest

from imgserve.app import Parts, create_app
from imgserve.config import Config
from imgserve.errors import BadTransform
from imgserve.formats import FORMATS
from imgserve.http.headers import ACCEPT_CLASSES
from imgserve.images.locate import Found
from imgserve.model import FocalPoint
from tests.pictures import encoded, quarters
from tests.servers import settled


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    settled(tmp_path / "in/shoe.jpg", encoded(quarters(), "jpg"))
    presets = {"card": "w=120&h=90", "auto": "w=50&auto=format", "webp": "w=60&format=webp"}
    places = {"originals": {"folder": tmp_path / "in"}, "cache": {"folder": tmp_path / "cache"}}
    made: Parts = create_app(Config.model_validate({**places, "presets": presets})).state.parts
    return made


@pytest.mark.parametrize("preset", ["card", "Auto", "webp", "default"])
@pytest.mark.parametrize("point", [None, FocalPoint(0.1, 0.9)])
@pytest.mark.parametrize("extension", [None, "png", "avif"])
def test_every_picture_of_a_preset_is_named(
    parts: Parts, preset: str, point: FocalPoint | None, extension: str | None
) -> None:
    original = parts.originals.stat("shoe.jpg").focused(point)

    async def body() -> None:
        keys = await parts.resolver.preset_keys(original, preset)
        for accepted in ACCEPT_CLASSES:
            served = await parts.resolver.request(Found(original, preset.lower(), extension), b"", accepted)
            assert served.key in keys
        assert len(keys) <= 1 + sum(form.writable for form in FORMATS.values())

    asyncio.run(body())


def test_a_preset_that_there_is_not_is_a_mistake(parts: Parts) -> None:
    with pytest.raises(BadTransform):
        asyncio.run(parts.resolver.preset_keys(parts.originals.stat("shoe.jpg"), "poster"))
