"""Faces are found in a portrait, however it is stored, and nowhere else."""

from collections.abc import Iterator

import pytest
import pyvips

from imgserve.model import Face, Facts, Limits
from imgserve.pipeline import faces
from imgserve.pipeline.facts import facts_of
from tests.pictures import ASTRONAUT, encoded, noise, opened, quarters

PORTRAIT = ASTRONAUT.read_bytes()


@pytest.fixture(autouse=True)
def searched() -> Iterator[None]:
    faces.search(True)
    yield
    faces.search(False)


def facts(data: bytes) -> Facts:
    return facts_of(data, "1_1", Limits())


def is_there(found: tuple[Face, ...]) -> bool:
    """Return whether the only face is the one of the portrait: between hair and collar, left of the middle."""
    [face] = found
    return abs(face.x + face.width / 2 - 0.49) < 0.05 and abs(face.y + face.height / 2 - 0.45) < 0.05


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tiff"])
def test_a_face_is_found_in_every_format(name: str) -> None:
    assert is_there(facts(encoded(opened(PORTRAIT), name)).faces)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_its_box_is_a_part_of_the_upright_image(orientation: int) -> None:
    upright = opened(PORTRAIT)
    turns = {1: 0, 2: 0, 3: 180, 4: 180, 5: 90, 6: 270, 7: 270, 8: 90}
    stored = upright.rot(f"d{turns[orientation]}")
    stored = stored.fliphor() if orientation in {2, 4, 5, 7} else stored
    stored = stored.copy()
    stored.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    assert is_there(facts(encoded(stored, "jpg", Q=90)).faces)


def test_a_large_photograph_is_searched_reduced() -> None:
    large = opened(PORTRAIT).resize(12, kernel="cubic")
    assert is_there(facts(encoded(large, "jpg", Q=70)).faces)


def test_alpha_and_deep_colors_do_not_matter() -> None:
    portrait = opened(PORTRAIT)
    assert is_there(facts(encoded(portrait.bandjoin(255), "png")).faces)
    deep = (portrait.cast("ushort") * 257).cast("ushort").copy(interpretation="rgb16")
    assert is_there(facts(encoded(deep, "png")).faces)


def test_two_faces_are_sorted_by_size() -> None:
    portrait = opened(PORTRAIT)
    both = portrait.resize(1.5).join(portrait.resize(2.5), "horizontal", expand=True, background=[255])
    first, second = facts(encoded(both, "png")).faces
    assert first.width > second.width
    assert first.x > second.x


@pytest.mark.parametrize("image", [quarters(), noise(300, 200)])
def test_other_pictures_have_none(image: pyvips.Image) -> None:
    assert facts(encoded(image, "png")).faces == ()


def test_nothing_is_searched_unless_it_is_set() -> None:
    faces.search(False)
    assert facts(PORTRAIT).faces == ()


def test_a_detector_that_fails_costs_no_original(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> tuple[object, object]:
        raise ImportError("no dlib")

    monkeypatch.setattr(faces, "_modules", broken)
    assert facts(PORTRAIT).faces == ()
    assert "faces could not be searched: ImportError: no dlib" in caplog.text
