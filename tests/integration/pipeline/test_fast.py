"""The encoders of the extra `fast` next to those of libvips."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import pyvips

from benchmarks.samples.mountains import mountains
from benchmarks.ssim import Likeness
from imgserve.pipeline import fast
from imgserve.pipeline.nclx import with_declared_colors
from imgserve.pipeline.render import render
from imgserve.transform import parse_query
from tests.pictures import animation, encoded, opened, quarters

WEBP: dict[str, Any] = {"Q": 80, "effort": 2, "lossless": False}
AVIF: dict[str, Any] = {"Q": 66, "effort": 0, "lossless": False, "subsample_mode": "on"}


@pytest.fixture(scope="module")
def scene() -> pyvips.Image:
    return mountains(300, 200).colourspace("srgb").cast("uchar").copy_memory()


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the package from imports."""
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    fast.codecs.cache_clear()
    yield
    fast.codecs.cache_clear()


def faded(scene: pyvips.Image) -> pyvips.Image:
    return scene.bandjoin((pyvips.Image.xyz(scene.width, scene.height)[0] * 0.8).cast("uchar"))


@pytest.mark.parametrize("options", [{}, {"Q": 30}, {"Q": 100}, {"effort": 0}, {"effort": 4}, {"lossless": True}])
def test_a_webp_has_the_bytes_of_libvips(scene: pyvips.Image, options: Mapping[str, Any]) -> None:
    options = {**WEBP, **options}
    for picture in (scene, faded(scene)) if not options["lossless"] else (scene,):
        assert fast.encode(picture, "webp", "none", options) == picture.webpsave_buffer(keep="none", **options)


@pytest.mark.parametrize("options", [{}, {"Q": 30}, {"Q": 95}, {"effort": 3}, {"subsample_mode": "off"}])
def test_an_avif_has_the_quality_and_the_size_of_libvips(scene: pyvips.Image, options: Mapping[str, Any]) -> None:
    options, likeness = {**AVIF, **options}, Likeness(scene)
    made = fast.encode(scene, "avif", "none", options)
    usual = scene.heifsave_buffer(compression="av1", bitdepth=8, keep="none", **options)
    assert made is not None
    assert abs(len(made) / len(usual) - 1) < 0.04
    assert abs(likeness.ssim(opened(made)) - likeness.ssim(opened(usual))) < 0.002
    assert abs(likeness.color_error(opened(made)) - likeness.color_error(opened(usual))) < 0.2  # chroma is rounded down
    assert with_declared_colors(made) == made


@pytest.mark.parametrize("name", ["webp", "avif"])
def test_what_the_extra_cannot_write_is_left_to_libvips(scene: pyvips.Image, name: str) -> None:
    options = {"webp": WEBP, "avif": AVIF}[name]
    assert fast.encode(scene, name, "none", options) is not None
    assert fast.encode(scene, name, "exif", options) is None
    assert fast.encode(scene.colourspace("b-w"), name, "none", options) is None
    assert fast.encode((scene.cast("ushort") * 257).cast("ushort"), name, "none", options) is None
    assert fast.encode(scene.embed(0, 0, 16_384, 200), name, "none", options) is None
    assert fast.encode(opened(animation([(9, 9, 9), (90, 9, 9)]), n=-1)[:3], name, "none", options) is None


@pytest.mark.parametrize(("width", "height"), [(16_383, 2), (2, 16_383), (16_382, 2)])
def test_the_longest_webp_is_written(scene: pyvips.Image, width: int, height: int) -> None:
    long = scene.embed(0, 0, width, height, extend="mirror")
    made = fast.encode(long, "webp", "none", WEBP) or long.webpsave_buffer(keep="none", **WEBP)
    assert (opened(made).width, opened(made).height) == (width, height)


def test_what_differs_is_left_to_libvips(scene: pyvips.Image) -> None:
    assert fast.encode(faded(scene), "webp", "none", {**WEBP, "lossless": True}) is None
    assert fast.encode(faded(scene), "avif", "none", AVIF) is None
    assert fast.encode(scene, "avif", "none", {**AVIF, "lossless": True}) is None
    assert fast.encode(scene, "avif", "none", {**AVIF, "Q": 100}) is None
    assert fast.encode(scene, "jpg", "none", {}) is None


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_libvips_encodes(scene: pyvips.Image) -> None:
    assert fast.version() == ""
    assert fast.encode(scene, "webp", "none", WEBP) is None
    for query in ("w=100&fm=webp", "w=100&fm=avif"):
        assert render(encoded(quarters(), "png"), parse_query(query).transform).data


def test_rights_stay_in_renditions() -> None:
    picture = quarters().copy()
    picture.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Copyright", "Jane Doe 2026")
    for name in ("webp", "avif"):
        data = render(encoded(picture, "jpg"), parse_query(f"w=100&fm={name}").transform).data
        assert b"Jane Doe 2026" in data


@pytest.mark.parametrize("query", ["w=250&fm=avif&max-bytes=3000", "w=250&fm=webp&q=auto", "w=250&fm=avif&q=auto"])
def test_targets_are_met_as_with_libvips(scene: pyvips.Image, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, transform = encoded(scene, "png"), parse_query(query).transform
    made = render(data, transform)
    monkeypatch.setattr(fast, "codecs", lambda: None)
    usual = render(data, transform)
    assert (made.width, made.height) == (usual.width, usual.height)
    assert abs(len(made.data) / len(usual.data) - 1) < 0.06
    assert len(made.data) <= (transform.max_bytes or len(made.data))
