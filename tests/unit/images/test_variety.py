"""Allow lists for the parameters of URLs."""

import pytest

from imgserve.errors import BadTransform
from imgserve.images.settings import Variety
from imgserve.transform import parse_preset, parse_query

PRESETS = {"card": parse_preset({"width": 300, "quality": 60}), "default": parse_preset({"width": 2048})}


def checked(variety: Variety, query: str) -> str | int | None:
    """Return the quality after the check, or the mistakes."""
    try:
        return variety.check(parse_query(query, presets=PRESETS, default=PRESETS["default"])).transform.quality
    except BadTransform as error:
        return error.detail


@pytest.mark.parametrize(
    ("variety", "query", "result"),
    [
        (Variety(), "width=3&quality=7", 7),
        (Variety(presets_only=True), "", None),
        (Variety(presets_only=True), "preset=card", 60),
        (Variety(presets_only=True), "preset=card&download=a.jpg", 60),
        (Variety(presets_only=True), "preset=card&w=5&q=3", "quality, width: only presets are allowed here"),
        (Variety(presets=frozenset({"card"})), "preset=card&w=5", 60),
        (Variety(presets=frozenset({"card"})), "w=5", "preset: expected one of card"),
        (Variety(presets=frozenset({"card"})), "", "preset: expected one of card"),
        (Variety(parameters=frozenset({"width"})), "w=5&preset=card&dl=1", 60),
        (
            Variety(parameters=frozenset({"width"})),
            "w=5&h=5",
            "height: not allowed here, where URLs may use width",
        ),
        (Variety(qualities=(50, 80)), "q=50", 50),
        (Variety(qualities=(50, 80)), "q=51", 80),
        (Variety(qualities=(50, 80)), "q=99", 80),
        (Variety(qualities=(50, 80)), "w=5", None),
        (Variety(qualities=(50, 80)), "preset=card", 60),
        (Variety(qualities=(50, 80), reject=True), "q=80", 80),
        (Variety(qualities=(50, 80), reject=True), "q=51", "quality: expected one of 50, 80"),
    ],
)
def test_a_query_is_bounded(variety: Variety, query: str, result: str | int | None) -> None:
    assert checked(variety, query) == result


def test_a_chosen_quality_is_reported() -> None:
    assert Variety(qualities=(50, 80)).check(parse_query("q=51")).notes == ("quality=80",)


def test_formats_and_sizes_are_bounded() -> None:
    variety = Variety(formats=frozenset({"webp"}), output_pixels=100)
    assert variety.accepted(("avif", "webp")) == ("webp",)
    variety.check_format("webp", "jpg")
    variety.check_format("jpg", "jpg")
    variety.check_pixels(100)
    with pytest.raises(BadTransform, match="expected one of webp"):
        variety.check_format("png", "jpg")
    with pytest.raises(BadTransform, match="at most 100 pixels"):
        variety.check_pixels(101)
