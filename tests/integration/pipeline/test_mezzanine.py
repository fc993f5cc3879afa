"""Pictures made from a reduced copy: the same to the eye as those made from the original, with all that it has."""

import errno
import functools
import math
import mmap
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import pyvips

from benchmarks.ssim import Likeness, flattened
from imgserve.geometry.box import Size, rescaled
from imgserve.geometry.plan import plan
from imgserve.geometry.reduction import serves
from imgserve.model import Limits, Rendition, file_version
from imgserve.pipeline.load import recognize
from imgserve.pipeline.mezzanine import Decoded, draft_reduced
from imgserve.pipeline.order import EncoderSettings, Order
from imgserve.pipeline.probe import read_header
from imgserve.pipeline.render import finished, render
from imgserve.rendering import worker
from imgserve.rendering.wire import Rendered, RenderJob
from imgserve.transform import Transform
from tests.pictures import encoded, noise, opened, quarters
from tests.worker import load_mezzanine, render_file, store_mezzanine

WIDE, TALL = 3300, 2201
SMALL = 1500, 1001
"""Of a photograph just large enough for a mezzanine."""


@functools.cache
def photograph(width: int = WIDE, height: int = TALL) -> pyvips.Image:
    """Make what looks like a photograph to a resampler: soft shades, hard edges, fine texture."""
    soft = noise(width, height)
    shapes = quarters(width, height).gaussblur(1.2).cast("uchar")
    return (soft * 0.6 + shapes * 0.4).cast("uchar").copy(interpretation="srgb").copy_memory()


def kept(place: Path, data: bytes) -> Path:
    """Write the mezzanine of an original as a rendering process does."""
    opened_original = recognize(data, Limits())
    header = read_header(opened_original, Limits())
    path = place / "mezzanine"
    path.unlink(missing_ok=True)
    assert store_mezzanine(path, Decoded(opened_original, header).mezzanine()) == path.stat().st_size
    return path


def reduced(path: Path, transform: Transform) -> Rendition | None:
    """Make a rendition from a mezzanine."""
    drafted = draft_reduced(load_mezzanine(path), Order(transform))
    return None if drafted is None else finished(drafted, EncoderSettings())


def is_the_direct_one(path: Path, data: bytes, transform: Transform) -> None:
    """Assert that a picture from the mezzanine of an original is the same to the eye as that from the original."""
    png = replace(transform, format="png")
    made, direct = reduced(path, png), render(data, png)
    assert made is not None, "it was not used"
    assert (made.width, made.height) == (direct.width, direct.height)
    psnr, ssim = alike(direct.data, made.data)
    assert psnr > 34, psnr
    assert ssim > 0.97, ssim


def alike(one: bytes, other: bytes) -> tuple[float, float]:
    """Return PSNR in dB (of all bands, on white) and mean SSIM."""
    first, second = opened(one), opened(other)
    assert (first.width, first.height, first.bands) == (second.width, second.height, second.bands)
    error = float(((flattened(first).cast("float") - flattened(second)) ** 2).avg())
    return 10 * math.log10(255**2 / max(error, 1e-9)), Likeness(first).ssim(second)


TRANSFORMS = {
    "width": Transform(width=400),
    "odd width": Transform(width=777),
    "tiny": Transform(width=33),
    "height": Transform(height=900),
    "crop": Transform(width=500, height=500),
    "crop to the right": Transform(width=300, height=800, crop=("right",)),
    "focal point": Transform(width=400, height=300, crop=("focalpoint",), focus_x=0.8, focus_y=0.2),
    "fill": Transform(width=600, height=600, fit="fill", fill_color=(10, 200, 30, 255)),
    "scale": Transform(width=600, height=200, fit="scale"),
    "turned": Transform(width=400, rotate=90),
    "slanted": Transform(width=400, rotate=30, background=(255, 255, 255, 255)),
    "mirrored": Transform(width=400, flip="h"),
    "large rect": Transform(width=600, rect=(0.2, 0.1, 0.6, 0.7)),
    "fraction": Transform(width=0.25),
    "dpr": Transform(width=300, dpr=2.0),
}


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    """Encode one large photograph."""
    return encoded(photograph(), "jpg", Q=92)


@pytest.fixture(scope="module")
def large(jpeg: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the mezzanine of that photograph, for tests that only read it."""
    return kept(tmp_path_factory.mktemp("large"), jpeg)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_picture_from_the_mezzanine_is_the_direct_one_to_the_eye(large: Path, jpeg: bytes, name: str) -> None:
    is_the_direct_one(large, jpeg, TRANSFORMS[name])


@pytest.mark.parametrize("left", [100, 101, 102, 103])
@pytest.mark.parametrize("side", [332, 333, 700, 1001])
def test_what_is_shown_of_an_original_is_in_its_place_to_a_quarter_of_a_pixel(left: int, side: int) -> None:
    stored, level, served = Size(3300, 2200), Size(1650, 1100), 0
    for width in range(20, side):
        made = plan(stored, Transform(width=width, rect=(left, 203, side, side)))
        if serves(made, stored, level):
            box, served = rescaled(made.region, stored, level), width
            assert abs(box.left * 2 - left) * width <= side / 2
            assert abs(box.right * 2 - left - side) * width <= side / 2
    assert served >= side // 4, "a quarter is always there to be had"


def with_alpha(image: pyvips.Image) -> pyvips.Image:
    """Fade to transparency from left to right."""
    fade = pyvips.Image.xyz(image.width, image.height)[0] * (255 / image.width)
    return image.bandjoin(fade.cast("uchar"))


def sixteen_bits(image: pyvips.Image) -> pyvips.Image:
    """Spread to 16 bits a band."""
    return (image.cast("ushort") * 257).cast("ushort").copy(interpretation="rgb16")


def gray(image: pyvips.Image) -> pyvips.Image:
    """Remove the colors."""
    return image.colourspace("b-w")


ORIGINALS = {
    "jpg": lambda image: encoded(image, "jpg", Q=92),
    "progressive jpg": lambda image: encoded(image, "jpg", Q=92, interlace=True),
    "gray jpg": lambda image: encoded(gray(image), "jpg", Q=92),
    "wide gamut jpg": lambda image: encoded(image, "jpg", Q=92, profile="p3"),
    "cmyk jpg": lambda image: encoded(image.icc_export(output_profile="cmyk"), "jpg", Q=92),
    "png": lambda image: encoded(image, "png", compression=1),
    "png with alpha": lambda image: encoded(with_alpha(image), "png", compression=1),
    "png of 16 bits": lambda image: encoded(sixteen_bits(image), "png", compression=1),
    "gray png with alpha": lambda image: encoded(with_alpha(gray(image)), "png", compression=1),
    "webp": lambda image: encoded(image, "webp", Q=90, effort=0),
    "webp with alpha": lambda image: encoded(with_alpha(image), "webp", Q=90, effort=0),
    "tiff": lambda image: encoded(image, "tiff"),
    "avif": lambda image: encoded(image, "avif", Q=80),
    "heic": lambda image: encoded(image, "heic"),
    "gif": lambda image: encoded(image, "gif", effort=1, dither=0),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_every_kind_of_original_comes_through_its_mezzanine_unchanged(tmp_path: Path, name: str) -> None:
    data = ORIGINALS[name](photograph(*SMALL))
    path = kept(tmp_path, data)
    for transform in (Transform(width=640), Transform(width=200, height=200)):
        is_the_direct_one(path, data, transform)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mezzanine_is_upright(tmp_path: Path, orientation: int) -> None:
    image = photograph(*SMALL).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    data = encoded(image, "jpg", Q=92)
    path = kept(tmp_path, data)
    for name in ("odd width", "crop to the right", "large rect"):
        is_the_direct_one(path, data, TRANSFORMS[name])


@pytest.mark.parametrize(
    "transform",
    [
        Transform(width=4000, enlarge=True),
        Transform(width=3200),
        Transform(),
        Transform(width=900, rect=(0.4, 0.4, 0.2, 0.2)),
        Transform(width=900, height=900, crop=("focalpoint",), focus_x=0.5, focus_y=0.5, focus_zoom=4.0),
        Transform(width=800, rect=(101, 203, 997, 1003)),
        Transform(width=400, profile="origin"),
        Transform(width=400, profile="strip"),
        Transform(width=400, metadata="keep"),
        Transform(width=400, orient=6),
    ],
)
def test_what_only_the_original_has_is_not_made_from_its_mezzanine(large: Path, transform: Transform) -> None:
    assert reduced(large, transform) is None


def test_renditions_say_who_made_the_picture_and_no_more(tmp_path: Path) -> None:
    image = photograph(*SMALL).copy()
    for field, text in (("Copyright", "(c) Ann"), ("Artist", "Ann"), ("Model", "Secret")):
        image.set_type(pyvips.GValue.gstr_type, f"exif-ifd0-{field}", text)
    data = encoded(image, "jpg", Q=80)
    path = kept(tmp_path, data)
    made, direct = reduced(path, Transform(width=300)), render(data, Transform(width=300))
    assert made is not None
    seen, wanted = ({name: picture.get(name) for name in picture.get_fields() if name.startswith("exif-ifd0-")}
                    for picture in (opened(made.data), opened(direct.data)))  # fmt: skip
    assert seen == wanted
    assert "Ann" in seen["exif-ifd0-Copyright"]
    assert "exif-ifd0-Model" not in seen
    stripped = reduced(path, Transform(width=300, metadata="strip"))
    assert stripped is not None
    assert b"Ann" not in stripped.data


@pytest.mark.parametrize("size", [(2561, 1707), (3839, 2160), (3840, 2160), (4032, 3024), (1500, 1001)])
def test_each_level_has_half_the_sides_of_the_one_before(tmp_path: Path, size: tuple[int, int]) -> None:
    mezzanine = load_mezzanine(kept(tmp_path, encoded(photograph(*size), "jpg", Q=90)))
    assert len(mezzanine.levels) == 4
    assert mezzanine.levels[0].size.pixels <= 6_001_000
    for level, half in pairwise(mezzanine.levels):
        assert half.size == Size(-(-level.size.width // 2), -(-level.size.height // 2))
        assert Size(half.open().width, half.open().height) == half.size
    assert (mezzanine.width, mezzanine.height) == size


def compact(place: Path, data: bytes) -> Path:
    """Write the mezzanine of an original in the compact form."""
    opened_original, path = recognize(data, Limits()), place / "compact"
    decoded = Decoded(opened_original, read_header(opened_original, Limits()))
    assert store_mezzanine(path, decoded.mezzanine(), compact=True) == path.stat().st_size
    return path


@pytest.mark.parametrize(("bands", "smaller"), [(3, 5), (1, 4)])
def test_a_compact_mezzanine_takes_little_and_makes_the_same_pictures(tmp_path: Path, bands: int, smaller: int) -> None:
    data = encoded(gray(photograph()) if bands == 1 else photograph(), "jpg", Q=90)
    path, usual = compact(tmp_path, data), kept(tmp_path, data)
    assert path.stat().st_size < usual.stat().st_size / smaller
    levels = load_mezzanine(path).levels
    assert [Size(level.open().width, level.open().height) for level in levels] == [level.size for level in levels]
    for transform in (Transform(width=300), Transform(width=200, height=200, fit="crop", rotate=90, format="webp")):
        made, plain = reduced(path, transform), reduced(usual, transform)
        assert made is not None
        assert plain is not None
        assert alike(made.data, plain.data)[0] > 36
    for lossless in (Transform(width=300, format="png"), Transform(width=300, format="webp", lossless=True)):
        assert reduced(path, lossless) is None
        assert reduced(usual, lossless) is not None


def test_only_jpegs_have_compact_mezzanines(tmp_path: Path) -> None:
    assert not load_mezzanine(compact(tmp_path, encoded(photograph(), "png"))).compact


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _renamed(path: Path) -> None:
    path.write_bytes(b"x" + path.read_bytes()[1:])


def _garbled(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:22] + b"{" * 100 + path.read_bytes()[122:])


def _with_other_sizes(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"bands": 3', b'"bands": 9'))


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def from_mezzanine(path: Path, data: bytes) -> Rendered:
    """Render a picture of an original, from its mezzanine if that is possible."""
    original = path.with_name("original")
    original.write_bytes(data)
    state = original.stat()
    version = file_version(state.st_mtime_ns, state.st_size)
    return render_file(RenderJob(str(original), version, Transform(width=100), mezzanine=path))


@pytest.mark.parametrize("harm", [_truncated, _renamed, _garbled, _with_other_sizes, _emptied, Path.unlink, _linked])
def test_a_file_that_is_no_whole_mezzanine_is_not_used(
    tmp_path: Path, jpeg: bytes, harm: Callable[[Path], None]
) -> None:
    path = kept(tmp_path, jpeg)
    harm(path)
    made = from_mezzanine(path, jpeg)
    # What is no file is left to the cache.
    assert (made.made_from, made.broken) == ("original", harm not in {Path.unlink, _linked})


def test_pages_that_were_lost_when_the_machine_went_down_are_noticed(tmp_path: Path, jpeg: bytes) -> None:
    path = kept(tmp_path, jpeg)
    os.utime(path, (1, 1))
    assert load_mezzanine(path).levels
    assert path.stat().st_mtime > 1, "checked once, not each time"
    with path.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\0" * 4096)
    os.utime(path, (1, 1))
    with pytest.raises(ValueError, match="checksum"):
        load_mezzanine(path)


@pytest.mark.parametrize(("module", "name"), [(os, "utime"), (mmap, "mmap")])
def test_a_mezzanine_that_cannot_be_mapped_or_touched_costs_no_picture(
    tmp_path: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    path = kept(tmp_path, jpeg)
    os.utime(path, (1, 1))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(module, name, refuse)
    made = from_mezzanine(path, jpeg)
    assert (made.made_from, made.broken) == ("original" if name == "mmap" else "mezzanine", False)


@pytest.mark.parametrize("torn", [False, True])
def test_a_mezzanine_that_cannot_be_written_is_reported_in_one_line(
    tmp_path: Path, jpeg: bytes, caplog: pytest.LogCaptureFixture, torn: bool
) -> None:
    original = recognize(jpeg[: len(jpeg) // 2] if torn else jpeg, Limits())
    decoded = Decoded(original, read_header(original, Limits()))
    path = tmp_path / "here"
    path.touch()
    with path.open("wb" if torn else "rb") as file:
        assert worker._stored(file.fileno(), decoded).size == 0
    ours = [record for record in caplog.records if record.name == "imgserve.render"]
    assert [(record.levelname, record.exc_info) for record in ours] == [("WARNING", None)]


def test_a_mezzanine_whose_rights_are_too_long_is_not_written(tmp_path: Path, jpeg: bytes) -> None:
    broken = replace(load_mezzanine(kept(tmp_path, jpeg)), rights={"x": "y" * 5000})
    with pytest.raises(ValueError, match="5"):
        store_mezzanine(tmp_path / "new", broken)
    assert (tmp_path / "new").read_bytes() == b""
