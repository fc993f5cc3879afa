"""Client hints: below all that a URL says, of few different values, and only where they decide something."""

import pytest

from imgserve.transform import canonical, link_presets, parse_preset, parse_query
from imgserve.transform.hints import HINTS, ClientHints, read_hints

PRESETS, _ = link_presets(
    {
        "card": parse_preset("w=100&h=50"),
        "id": parse_preset("w=100&locked"),
        "default": parse_preset("w=2048&h=2048&fit=max"),
    }
)
ALL = frozenset(HINTS)


def hinted(query: str, used: frozenset[str] = ALL, **headers: str) -> tuple[str, set[str]]:
    fields = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    parsed = parse_query(query, presets=PRESETS, default=PRESETS["default"], hints=read_hints(fields, used))
    return canonical(parsed.transform), set(parsed.hints)


@pytest.mark.parametrize(
    ("query", "headers", "text", "depends"),
    [
        ("", {"width": "333"}, "fit=max&height=2048&width=350", ALL),
        ("", {"sec_ch_width": "333", "width": "999", "dpr": "2"}, "fit=max&height=2048&width=350", ALL),
        ("", {"sec_ch_viewport_width": "390", "sec_ch_dpr": "3"}, "fit=max&height=2048&width=1200", ALL),
        ("", {"width": "x", "dpr": "2"}, "fit=max&height=2048&width=2048", ALL),
        ("blur=5", {"width": "450"}, "blur=5&width=500", ALL),
        ("w=100", {"width": "333", "dpr": "1.3"}, "width=150", {"dpr", "save-data"}),
        ("preset=card", {"dpr": "2"}, "height=100&width=200", {"dpr", "save-data"}),
        ("w=100&dpr=1", {"dpr": "2", "width": "5"}, "width=100", {"save-data"}),
        ("w=0.5", {"dpr": "2", "width": "5"}, "width=0.5", {"save-data"}),
        ("preset=id", {"dpr": "2", "save_data": "on"}, "width=100", set()),
        ("w=100", {"save_data": "on"}, "animate=0&auto=compress&width=100", {"dpr", "save-data"}),
        ("w=100&auto=format&animate=1", {"save_data": "On"}, "auto=compress,format&width=100", {"dpr", "save-data"}),
        ("w=100&q=80&animate=1&dpr=1", {"save_data": "on"}, "quality=80&width=100", set()),
        ("w=100&then&w=50", {"dpr": "2", "save_data": "on"}, "width=50", set()),
        ("w=100", {"dpr": "1e9"}, "width=100", {"dpr", "save-data"}),
        ("w=100", {"dpr": "nan", "width": "-5"}, "width=100", {"dpr", "save-data"}),
    ],
)
def test_hints_decide_what_the_url_leaves_open(
    query: str, headers: dict[str, str], text: str, depends: set[str]
) -> None:
    assert hinted(query, ALL, **headers) == (text, set(depends))


def test_only_hints_that_are_used_count() -> None:
    assert hinted("w=100", frozenset({"width"}), dpr="2", save_data="on") == ("width=100", set())
    assert hinted("", frozenset({"dpr"}), dpr="2", width="9")[1] == set()


def test_what_a_picture_depends_on_does_not_depend_on_what_is_sent() -> None:
    for query in ("", "w=5", "preset=card", "q=5&w=5"):
        sent = hinted(query, dpr="2", width="300", save_data="on", viewport_width="400")
        assert hinted(query)[1] == sent[1]


def test_there_are_few_widths() -> None:
    texts = {hinted("", width=str(width))[0] for width in range(1, 4000)}
    assert len(texts) < 40
    assert ClientHints(ALL).within({"width"}).used == {"width", "viewport-width"}
