"""The pictures that the project draws itself."""

from pathlib import Path

import pytest
import pyvips

from benchmarks.samples import draw_samples
from imgserve.formats import HEAD_BYTES, sniff

SCALE = 0.08
SUNLIT = 200
"""Mean brightness of a sun."""
COMMITTED = Path(__file__).parents[3] / "static" / "samples"
MOST_BYTES = 4_000_000
LIKE = 10
"""Mean difference of two pictures of one scene, drawn at different sizes; two different scenes differ by far more."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    draw_samples(folder, scale=SCALE)
    return folder


def test_every_sample_is_a_picture_of_the_format_that_its_name_says(folder: Path) -> None:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    formats = {path.name: sniff(path.read_bytes()[:HEAD_BYTES]) for path in paths}
    assert len(formats) >= 7
    assert all(found and Path(name).suffix[1:] in found.extensions for name, found in formats.items())


def test_the_same_samples_come_out_of_every_run(folder: Path, tmp_path: Path) -> None:
    again = draw_samples(tmp_path, scale=SCALE)
    assert [path.read_bytes() for path in again] == [
        (folder / path.relative_to(tmp_path)).read_bytes() for path in again
    ]


def test_the_committed_pictures_are_those_that_the_script_draws(folder: Path) -> None:
    committed = {path.relative_to(COMMITTED) for path in COMMITTED.rglob("*.*")}
    assert committed == {path.relative_to(folder) for path in folder.rglob("*.*")}
    assert {name: _difference(COMMITTED / name, folder / name) for name in committed} == {
        name: pytest.approx(0, abs=LIKE) for name in committed
    }


def test_the_committed_pictures_are_few_bytes_and_large_enough_for_a_screen() -> None:
    pictures = [path for path in COMMITTED.rglob("*.*") if path.suffix in {".jpg", ".png"}]
    sizes = [pyvips.Image.new_from_file(path) for path in pictures]
    assert sum(path.stat().st_size for path in COMMITTED.rglob("*.*")) < MOST_BYTES
    assert min(max(image.width, image.height) for image in sizes) >= 1200
    assert max(image.width for image in sizes) == 2400


def _difference(one: Path, other: Path) -> float:
    """Return the mean difference of two pictures, both 64 pixels wide."""
    small = [pyvips.Image.thumbnail(str(path), 64, height=64, size="force").flatten() for path in (one, other)]
    return float((small[0] - small[1]).abs().avg())


def test_the_landscape_has_its_sun_where_the_crops_will_look_for_it(folder: Path) -> None:
    landscape = pyvips.Image.new_from_file(folder / "mountains.jpg")
    sun = landscape.crop(int(landscape.width * 0.59), int(landscape.width * 0.276), 4, 4)
    assert (landscape.width, landscape.height) == (480, 320)
    assert sun.avg() > SUNLIT > landscape.avg()


def test_the_portrait_is_stored_on_its_side_with_the_notes_of_a_camera(folder: Path) -> None:
    stored = pyvips.Image.new_from_file(folder / "balloon.jpg")
    assert (stored.width, stored.height, stored.get("orientation")) == (480, 320, 6)
    assert stored.get("exif-ifd3-GPSLatitude").startswith("47/1")
    assert "imgserve" in stored.get("exif-ifd0-Copyright")


def test_the_portrait_shows_the_red_balloon_upright_and_right_of_the_center(folder: Path) -> None:
    upright = pyvips.Image.new_from_file(folder / "balloon.jpg").autorot()
    left, right = (upright.crop(x, 90, 100, 60) for x in (20, 170))
    assert (upright.width, upright.height) == (320, 480)
    assert right[0].deviate() > 2 * left[0].deviate()


def test_the_glass_is_clear_at_the_corner_and_half_clear_inside(folder: Path) -> None:
    glass = pyvips.Image.new_from_file(folder / "glass.png")
    assert glass.getpoint(0, 0)[3] == 0
    assert 100 < glass.getpoint(glass.width * 0.5, glass.height * 0.3)[3] < 255


def test_the_boat_rocks_for_ever_through_frames_of_equal_delay(folder: Path) -> None:
    film = pyvips.Image.new_from_file(folder / "tide.gif", n=-1)
    assert (film.get("n-pages"), set(film.get("delay")), film.get("loop")) == (24, {70}, 0)
    assert film.height == 24 * film.get("page-height")
    assert _frame(film, 0).cast("float").subtract(_frame(film, 6)).abs().avg() > 1


def _frame(film: pyvips.Image, page: int) -> pyvips.Image:
    tall = film.get("page-height")
    return film.crop(0, tall * page, film.width, tall)


def test_the_night_has_sixteen_bits_and_a_wide_gamut(folder: Path) -> None:
    night = pyvips.Image.new_from_file(folder / "travel" / "aurora.png")
    assert (night.format, night.interpretation) == ("ushort", "rgb16")
    outside = night.icc_import(pcs="lab", embedded=True).icc_export(output_profile="srgb", depth=16)
    assert night.get("icc-profile-data") == pyvips.Image.profile_load("p3")
    assert outside[0].min() == 0  # the greens of the night have no place in sRGB and are clipped


def test_a_sample_has_a_space_and_an_umlaut_in_its_name_and_lies_in_a_folder(folder: Path) -> None:
    assert (folder / "travel" / "Dünen im Wind.jpg").is_file()


def test_the_compass_is_text_that_needs_no_font_and_fetches_nothing(folder: Path) -> None:
    text = (folder / "compass.svg").read_text(encoding="utf-8")
    assert text.startswith("<svg xmlns=")
    assert "<text" not in text
    assert "href" not in text
