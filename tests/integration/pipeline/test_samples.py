"""The pictures that the project draws itself."""

from pathlib import Path

import pytest
import pyvips

from imgserve.formats import HEAD_BYTES, sniff
from imgserve.pipeline.samples import draw_samples

SCALE = 0.08
SUNLIT = 200
"""Mean brightness of a sun."""


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
