"""Presets: inheritance, aliases, locks and the built-in looks."""

import pytest

from imgserve.errors import BadTransform
from imgserve.transform import BUILT_IN_PRESETS, canonical, link_presets, parse_preset, parse_query
from imgserve.transform.presets import LOOKS

SOURCES: dict[str, dict[str, object] | str] = {
    "card": {"width": 400, "height": 300, "aliases": ["tile", "box"]},
    "hero": "extends=card&width=1600&height=900&format=auto",
    "print": {"preset": "hero", "format": "jpg", "quality": 95},
    "id": {"extends": "noir", "width": 300, "locked": True},
    "thumb": "w=100&q=60&locked=width,quality",
    "small": "extends=thumb&w=50",
    "auto": {"auto": "format", "locked": ["auto"]},
}
PRESETS, MISTAKES = link_presets({name: parse_preset(one) for name, one in SOURCES.items()}, BUILT_IN_PRESETS)


@pytest.mark.parametrize(
    ("query", "text", "name"),
    [
        ("preset=hero", "auto=format&height=900&width=1600", "hero"),
        ("preset=print", "format=jpg&height=900&quality=95&width=1600", "print"),
        ("preset=TILE&w=10", "height=300&width=10", "card"),
        ("preset=id", "contrast=45&grayscale=1&shadows=-25&width=300", "id"),
        ("preset=id&w=300&download=a.jpg", "contrast=45&grayscale=1&shadows=-25&width=300", "id"),
        ("preset=thumb&h=5", "height=5&quality=60&width=100", "thumb"),
        ("preset=small", "quality=60&width=50", "small"),
        ("preset=noir&w=10", "contrast=45&grayscale=1&shadows=-25&width=10", "noir"),
    ],
)
def test_a_preset_inherits_and_may_be_overridden(query: str, text: str, name: str) -> None:
    parsed = parse_query(query, presets=PRESETS)
    assert (canonical(parsed.transform), parsed.preset) == (text, name)
    assert not MISTAKES


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("preset=id&width=301&blur=5", ["blur", "width"]),
        ("preset=id&format=webp", ["format"]),
        ("preset=thumb&w=99&q=61&fm=webp", ["quality", "width"]),
        ("preset=thumb&dpr=2", ["dpr"]),
        ("preset=small&w=51", ["width"]),
        ("preset=auto&format=png", ["format"]),
    ],
)
def test_a_query_cannot_change_what_is_locked(query: str, names: list[str]) -> None:
    with pytest.raises(BadTransform) as caught:
        parse_query(query, presets=PRESETS)
    preset = query.partition("&")[0].removeprefix("preset=")
    assert caught.value.mistakes == [f'{name}: locked by the preset "{preset}"' for name in names]


def test_a_mistake_leaves_out_one_preset_and_those_that_build_on_it() -> None:
    own = {"a": "extends=b", "b": "extends=a", "c": "extends=c", "d": "extends=x", "e": "w=1&aliases=d", "f": "w=2"}
    presets, mistakes = link_presets({name: parse_preset(one) for name, one in own.items()})
    assert list(presets) == ["f"]
    assert mistakes == {
        "a": "extends: a extends b extends a, which is a loop",
        "b": "extends: b extends a extends b, which is a loop",
        "c": "extends: c extends c, which is a loop",
        "d": 'extends: there is no preset "x"',
        "e": 'aliases: "d" is a name or an alias of another preset',
    }


def test_values_that_contradict_those_inherited_are_a_mistake() -> None:
    own = {"a": parse_preset("q=200&fm=gif"), "b": parse_preset("extends=a&fm=jpg")}
    assert list(link_presets(own)[1]) == ["b"]


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_changes_tones_only(name: str) -> None:
    assert set(BUILT_IN_PRESETS[name].values).isdisjoint({"width", "height", "format", "quality"})
    assert parse_query(f"preset={name}", presets=BUILT_IN_PRESETS).preset == name
