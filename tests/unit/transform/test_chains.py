"""Chains: several transforms in one URL."""

import pytest

from imgserve.client import ImageUrls
from imgserve.errors import BadTransform
from imgserve.transform import (
    BUILT_IN_PRESETS,
    canonical_steps,
    compose_chain,
    link_presets,
    parse_preset,
    parse_query,
)
from imgserve.transform.pairs import split_chain
from imgserve.transform.parse import MAX_STEPS

PRESETS, _ = link_presets(
    {"card": parse_preset("width=40&height=30"), "id": parse_preset("w=9&locked=width")}, BUILT_IN_PRESETS
)


def text(query: str, path_preset: str | None = None) -> str:
    parsed = parse_query(query, presets=PRESETS, path_preset=path_preset)
    return canonical_steps([step.transform for step in (*parsed.earlier, parsed)])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("rotate=5&then&w=400&then&blur=20", "rotate=5&then&width=400&then&blur=20"),
        ("Then=&w=1", None),
        ("w=400&THEN=&blur=2&signature=00&expires=1", "width=400&then&blur=2"),
        ("w=400&%74hen&w=200", "width=400&then&width=200"),
        ("w=1&fm=webp&lossless=1&then&w=2&fm=avif", "width=1&then&format=avif&width=2"),
        ("preset=card&then&dpr=2&w=5", "height=30&width=40&then&width=10"),
        ("preset=card&then&preset=noir", "height=30&width=40&then&contrast=45&grayscale=1&shadows=-25"),
    ],
)
def test_a_chain_is_the_text_of_its_steps(query: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(BadTransform, match="step 1: expected parameters before and after then"):
            text(query)
    else:
        assert text(query) == expected
        assert text(expected) == expected


def test_the_last_step_decides_what_is_sent() -> None:
    parsed = parse_query("preset=card&dl=a.jpg&fm=png&then&blur=5&dl=b.jpg&auto=format", presets=PRESETS)
    assert (parsed.download, parsed.transform.format) == ("b.jpg", None)
    assert parsed.transform.auto == {"format"}
    assert (parsed.preset, parsed.presets) == (None, ("card",))
    assert parsed.named == {"blur", "auto"}


def test_the_preset_of_a_path_is_of_the_first_step() -> None:
    assert text("then&w=5", path_preset="card") == "height=30&width=40&then&width=5"


@pytest.mark.parametrize(
    ("query", "mistakes"),
    [
        ("w=x&then&h=y&then&w=1", ["step 1: width: expected", "step 2: height: expected"]),
        ("w=1&then=2", ["then: expected no value"]),
        ("w=1&then&utm=5&then", ["step 3: expected parameters before and after"]),
        ("&then&".join(["w=1"] * (MAX_STEPS + 1)), [f"then: expected at most {MAX_STEPS} steps, but received 9"]),
        ("preset=id&then&rect=0,0,5,5", ['step 1: preset: "id" is locked']),
        ("fm=json&then&w=5", ["step 1: format"]),
    ],
)
def test_a_mistake_names_its_step(query: str, mistakes: list[str]) -> None:
    with pytest.raises(BadTransform) as caught:
        parse_query(query, presets=PRESETS, documents=True)
    assert len(caught.value.mistakes) == len(mistakes)
    for found, expected in zip(caught.value.mistakes, mistakes, strict=True):
        assert found.startswith(expected)


@pytest.mark.parametrize(
    ("query", "steps"),
    [
        ("w=1", ["w=1"]),
        ("w=1&then&b=2", ["w=1", "b=2"]),
        ("then&then=&w=1", ["", "", "w=1"]),
        ("text=then&thenx=1&xthen", ["text=then&thenx=1&xthen"]),
    ],
)
def test_a_query_is_split_at_the_separator_only(query: str, steps: list[str]) -> None:
    assert split_chain(query) == steps


def test_a_client_writes_chains() -> None:
    assert compose_chain("w=400&fit=max&then&rot=90&blur=0") == ["fit=max&width=400", "rotate=90"]
    urls = ImageUrls("/img").with_query("w=400&then&rot=90")
    assert urls.url("a.jpg") == "/img/a.jpg?width=400&then&rotate=90"
    assert urls.url("a.jpg", blur=5) == "/img/a.jpg?width=400&then&blur=5&rotate=90"
    found = urls.img("a.jpg", alt="", widths=[100, 800], original_width=1000, original_height=500)
    assert "width=400&amp;then&amp;rotate=90&amp;width=100 100w" in found
    assert "200w" in found
    assert "800" not in found
    for query in ("w=1&then", "&then&".join(["w=1"] * (MAX_STEPS + 1)), "w=1&then&widht=2"):
        with pytest.raises(BadTransform):
            ImageUrls("/img").with_query(query)
