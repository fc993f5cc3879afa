"""From a query to what is asked for: names, bounds, clamping, presets."""

import pytest

from imgserve.errors import BadTransform
from imgserve.transform import ParsedQuery, Preset, Transform, canonical, parse_preset, parse_query

HEX32 = "0123456789abcdef" * 2


def test_unknown_names_are_ignored() -> None:
    asked = parse_query("utm_source=%ff&v=3&w=400&%ff=1&=x&auto64=Zm9ybWF0")
    assert asked.transform == Transform(width=400)
    assert asked.given == {"width"}


def test_a_strict_server_refuses_unknown_names_and_offers_the_nearest() -> None:
    with pytest.raises(BadTransform) as caught:
        parse_query("widht=400&v=3", strict=True)
    assert caught.value.members["mistakes"] == [
        'unknown parameter "widht", did you mean "width"?',
        'unknown parameter "v"',
    ]


@pytest.mark.parametrize(
    "query",
    [
        f"s={HEX32}",
        f"S={HEX32.upper()}&s={HEX32 * 2}",
        f"signature={HEX32 * 2}",
        "signature=any",
        "expires=1735689600",
        "expires=tomorrow",
        "KEY=img_0123",
    ],
)
def test_what_is_about_access_says_nothing_about_the_picture(query: str) -> None:
    assert parse_query(query, strict=True) == ParsedQuery(Transform())


@pytest.mark.parametrize("query", ["s=hello", f"s={HEX32}0", "expires64=MQ", f"signature64={HEX32}"])
def test_what_only_resembles_it_is_an_unknown_name(query: str) -> None:
    assert parse_query(query).transform == Transform()
    with pytest.raises(BadTransform, match="unknown parameter"):
        parse_query(query, strict=True)


@pytest.mark.parametrize("name", ["signature", "s", "expires", "key"])
def test_a_preset_names_nothing_about_access(name: str) -> None:
    with pytest.raises(BadTransform) as caught:
        parse_preset({name: HEX32 * 2})
    assert caught.value.mistakes == [f'unknown parameter "{name}"']


@pytest.mark.parametrize("query", [b"a=" + b"x" * 8191, b"&".join([b"a=1"] * 101)])
def test_a_query_beyond_measure_is_one_mistake(query: bytes) -> None:
    with pytest.raises(BadTransform, match="query: expected at most") as caught:
        parse_query(query)
    assert caught.value.members["mistakes"] == [caught.value.detail]


CLAMPED = [
    ("w=10000", "width=8192", 1),
    ("w=10000&h=5000", "height=4096&width=8192", 1),
    ("w=1&h=" + "9" * 30, "height=8192&width=1", 1),
    ("w=8192&h=8192", "height=8192&width=8192", 0),
    ("w=400&dpr=2", "width=800", 0),
    ("w=333&dpr=1.5", "width=500", 0),
    ("w=100&dpr=1.15", "width=115", 0),
    ("w=1&dpr=0.1", "width=1", 0),
    ("w=400&h=300&dpr=2", "height=600&width=800", 0),
    ("w=5000&h=2500&dpr=2", "height=4096&width=8192", 1),
    ("w=100&dpr=9", "width=500", 1),
    ("w=5000&dpr=9", "width=8192", 2),
    ("w=0.5&dpr=2", "dpr=2&width=0.5", 0),
    ("w=0.5&dpr=6", "dpr=5&width=0.5", 1),
    ("w=400&h=0.5&dpr=2", "dpr=2&height=0.5&width=400", 0),
    ("w=9000&h=0.5", "height=0.5&width=8192", 1),
    ("dpr=2", "", 0),
    ("dpr=9", "", 0),
    ("ar=2:1&dpr=2", "aspect=2:1", 0),
    ("w=400&ar=2:1&dpr=2", "aspect=2:1&width=800", 0),
    ("w=8192&ar=1:2", "aspect=1:2&width=4096", 1),
    ("h=8192&ar=3:1", "aspect=3:1&height=2730", 1),
    ("w=8192&ar=2:1", "aspect=2:1&width=8192", 0),
]


@pytest.mark.parametrize(("query", "text", "notes"), CLAMPED)
def test_sides_are_multiplied_and_clamped_with_a_note(query: str, text: str, notes: int) -> None:
    asked = parse_query(query)
    assert canonical(asked.transform) == text
    assert len(asked.notes) == notes
    assert parse_query(text).transform == asked.transform


def test_notes_say_what_was_done() -> None:
    assert parse_query("w=900&h=300&dpr=9", max_side=1000).notes == (
        "dpr lowered to 5",
        "size lowered: width to 1000 and height to 333, since no side may be above 1000",
    )


@pytest.mark.parametrize(
    ("query", "name"), [("dl=shoe+1.jpg", "shoe 1.jpg"), ("download", ""), ("dl=%C3%A9.png", "é.png"), ("w=1", None)]
)
def test_a_download_is_no_part_of_the_transform(query: str, name: str | None) -> None:
    asked = parse_query(query)
    assert asked.download == name
    assert not asked.given & {"download"}


PRESETS = {
    "card": parse_preset({"width": 400, "height": 300, "format": "auto"}),
    "hero": parse_preset("w=1600&fit=max&progressive=1&bg=fff"),
    "tiny": parse_preset({"w": 0.1, "enlarge": True, "crop": ["top", "left"], "aspect": "16:9"}),
    "icon": parse_preset("fm=png8"),
    "empty": parse_preset({}),
    "default": parse_preset({"width": 2048, "height": 2048, "fit": "max"}),
}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("preset=card", "auto=format&height=300&width=400"),
        ("preset=CARD&w=200", "auto=format&height=300&width=200"),
        ("preset=card&dpr=2", "auto=format&height=600&width=800"),
        ("preset=card&fm=webp", "format=webp&height=300&width=400"),
        ("preset=card&auto=compress", "auto=compress&height=300&width=400"),
        ("preset=hero", "background=ffffff&fit=max&progressive=1&width=1600"),
        ("preset=hero&progressive=0&fm=pjpg", "background=ffffff&fit=max&format=jpg&width=1600"),
        ("preset=tiny", "aspect=16:9&crop=top,left&enlarge=1&width=0.1"),
        ("preset=icon", "colors=256&format=png"),
        ("preset=icon&fm=png", "format=png"),
    ],
)
def test_a_query_is_laid_over_its_preset(query: str, text: str) -> None:
    assert canonical(parse_query(query, presets=PRESETS).transform) == text


def test_given_names_what_the_query_or_the_preset_requested() -> None:
    asked = parse_query("preset=card&q=70&dl", presets=PRESETS)
    assert asked.given == {"width", "height", "format", "auto", "quality"}
    assert asked.preset == "card"


def test_a_preset_may_stand_in_the_path() -> None:
    assert parse_query("w=10", presets=PRESETS, path_preset="card").transform.width == 10
    assert parse_query("preset=hero", presets=PRESETS, path_preset="HERO").preset == "hero"
    with pytest.raises(BadTransform, match='the path names "card", but the query names "hero"'):
        parse_query("preset=hero", presets=PRESETS, path_preset="card")


def test_an_unknown_preset_is_a_mistake_with_the_nearest_name() -> None:
    with pytest.raises(BadTransform, match=r'none called "crad", did you mean "card"\?'):
        parse_query("preset=crad", presets=PRESETS)


@pytest.mark.parametrize("query", ["", "utm_source=x", "dl=a.jpg", f"s={HEX32}", "dpr=2", "preset=empty"])
def test_a_query_that_requests_no_pixels_gets_the_default_preset(query: str) -> None:
    asked = parse_query(query, presets=PRESETS, default=PRESETS["default"])
    assert canonical(asked.transform) == "fit=max&height=2048&width=2048"
    assert asked.given == {"width", "height", "fit"}


@pytest.mark.parametrize("query", ["w=10", "animate=1", "preset=icon"])
def test_a_query_that_requests_pixels_does_not(query: str) -> None:
    asked = parse_query(query, presets=PRESETS, default=PRESETS["default"])
    assert asked.transform.height is None


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"widht": 400}, 'unknown parameter "widht", did you mean "width"?'),
        ({"width": None}, "width: .* but received nothing"),
        ({"width": True, "height": [1, 2]}, "height: "),
        ({"preset": "card", "extends": "hero"}, 'extends: names "hero", but preset names "card"'),
        ({"locked": "widht"}, 'locked: expected names of parameters, but received "widht", did you mean "width"?'),
        ({"aliases": ["a b"]}, 'aliases: .* but received "a b"'),
        ("extends=a&extends=b", "extends: given twice with different values"),
        ("q=200&fm=jpg", "quality: expected an integer 1..100 for jpg"),
        ("w=x", "width: "),
    ],
)
def test_a_mistake_in_a_preset_is_reported(source: dict[str, object] | str, sentence: str) -> None:
    with pytest.raises(BadTransform, match=sentence):
        parse_preset(source)


def test_a_preset_does_not_change() -> None:
    preset = parse_preset("w=400")
    assert isinstance(preset, Preset)
    with pytest.raises(TypeError):
        preset.values["width"] = 1  # type: ignore[index]  # that is the point


@pytest.mark.parametrize(
    ("query", "ignored"),
    [
        ("widht=400", ("widht (width?)",)),
        ("heigth=4&w=3&heigth=5", ("heigth (height?)",)),
        ("WIDHT=400", ("widht (width?)",)),
        ("blurr=3", ("blurr (blur?)",)),
        ("mark-alfa=3", ("mark-alfa (mark-alpha?)",)),
        ("utm_source=a&utm_medium=b&fbclid=c&v=3&ts=4&version=2&id=7&ref=x&_=1&cache=no&token=t", ()),
        ("s=200KB&signature=x&expires=y&key=z", ()),
        ("signatur=x&expire=1", ("signatur (signature?)", "expire (expires?)")),
        ("wid%0d%0ath=4&w%00dth=4", ()),
        ("&".join(f"width{number}=1" for number in range(50)), tuple(f"width{n} (width?)" for n in range(10))),
    ],
)
def test_names_that_may_be_mistakes_are_listed(query: str, ignored: tuple[str, ...]) -> None:
    assert parse_query(query).ignored == ignored


def test_a_refusal_lists_misspelled_names_too() -> None:
    with pytest.raises(BadTransform) as caught:
        parse_query("w=x&widht=400&utm_source=b")
    assert caught.value.mistakes[1:] == ['unknown parameter "widht", did you mean "width"?']
