"""Parameters become the one query that the server reads as the same, or the server's own list of mistakes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.errors import BadTransform
from imgserve.transform import (
    MAX_SIDE,
    ParsedQuery,
    Preset,
    compose,
    parse_preset,
    parse_query,
    read_parameters,
)
from imgserve.transform.pairs import MAX_BYTES
from tests.parameters import asked, plainly

PRESETS = {
    "card": parse_preset("width=300&height=200&auto=format&enlarge=1&progressive=1&quality=50"),
    "plain": parse_preset("format=webp&lossless=1&animate=0"),
}
DEFAULT = parse_preset("width=2048&height=2048&fit=max")


def composed(**parameters: Any) -> str:
    return compose(read_parameters(parameters))


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ({}, ""),
        ({"width": 400, "format": "auto"}, "auto=format&width=400"),
        ({"w": "400", "fm": "WEBP"}, "format=webp&width=400"),
        ({"f": "cover", "width": 10, "height": 5}, "fit=crop&height=5&width=10"),
        ({"f": "webp"}, "format=webp"),
        ({"width": 400, "height": None}, "width=400"),
        ({"width": 0.5, "dpr": 2}, "dpr=2&width=0.5"),
        ({"width": 400, "dpr": 1.5}, "width=600"),
        ({"width": 9000}, "width=9000"),
        ({"aspect": (16, 9), "width": 10}, "aspect=16:9&width=10"),
        ({"aspect": "32:18", "width": 10}, "aspect=16:9&width=10"),
        ({"crop": ["top", "left"], "w": 1, "h": 1}, "crop=top,left&height=1&width=1"),
        ({"rect": (0.1, 0, 0.5, 200)}, "rect=0.1,0,0.5,200"),
        ({"background": (255, 0, 0, 255)}, "background=ff0000"),
        ({"background": (255, 0, 0, 128)}, "background=80ff0000"),
        ({"bg": "red"}, "background=ff0000"),
        ({"auto": {"format", "compress"}}, "auto=compress,format"),
        ({"auto": "compress", "format": "auto"}, "auto=compress,format"),
        ({"focus_x": 1e-5, "fp_y": 1, "focus-zoom": 2.0}, "focus-x=0.00001&focus-y=1&focus-zoom=2"),
        ({"focus_x": 1e-70, "rect": (0.1 + 0.2, 1e-70, 0.5, 0.5)}, "focus-x=0&rect=0.3,0,0.5,0.5"),
        ({"lossless": True, "progressive": True}, "lossless=1&progressive=1"),
        ({"format": "png8"}, "colors=256&format=png"),
        ({"download": True}, "download="),
        ({"download": False}, ""),
        ({"download": "a, b&é.jpg", "w": 2}, "download=a%2C%20b%26%C3%A9.jpg&width=2"),
        ({"preset": "card"}, "preset=card"),
        ({"fill": "blur", "fill_color": "red", "preset": "card"}, "fill=blur&fill-color=ff0000&preset=card"),
    ],
)
def test_parameters_are_written_in_one_way(parameters: dict[str, Any], query: str) -> None:
    assert composed(**parameters) == query


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ({"enlarge": False, "width": 4}, "width=4"),
        # Alone it keeps the default preset away.
        ({"enlarge": False}, "enlarge=0"),
        ({"enlarge": False, "download": ""}, "download=&enlarge=0"),
        ({"dpr": 2}, ""),
        ({"dpr": 2, "preset": "card"}, "dpr=2&preset=card"),
        ({"enlarge": False, "preset": "card"}, "enlarge=0&preset=card"),
        ({"format": "auto", "preset": "plain"}, "format=auto&preset=plain"),
        ({"auto": "format", "preset": "plain"}, "auto=format&preset=plain"),
        ({"format": "auto", "auto": "compress", "preset": "p"}, "auto=compress&format=auto&preset=p"),
    ],
)
def test_a_default_is_left_out_where_nothing_lies_below_it(parameters: dict[str, Any], query: str) -> None:
    assert composed(**parameters) == query


def test_a_default_stays_where_the_path_names_a_preset() -> None:
    assert compose(read_parameters({"enlarge": False, "width": 2}), over_preset=True) == "enlarge=0&width=2"


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"widht": 400}, ['unknown parameter "widht", did you mean "width"?']),
        ({"widht": None}, ['unknown parameter "widht", did you mean "width"?']),
        ({"max_bytes": "much"}, ["max-bytes: expected an integer of bytes"]),
        ({"s": "0" * 64}, ['unknown parameter "s"']),
        ({"key": "secret"}, ['unknown parameter "key"']),
        ({"width": 400, "w": 500}, ["width: given twice with different values"]),
        ({"width": 400.0}, [f'expected an integer 1..{MAX_SIDE} or a fraction 0 < x <= 1, but received "400.0"']),
        ({"width": float("nan")}, ['received "nan"']),
        ({"width": -1}, ['received "-1"']),
        ({"width": ""}, ["received nothing"]),
        ({"aspect": (16, 9, 2)}, ['received "16:9:2"']),
        ({"aspect": 1}, ["aspect: expected a ratio"]),
        ({"background": (300, 0, 0)}, ['received "300,0,0"']),
        ({"rect": (1, 2)}, ['received "1,2"']),
        ({"quality": 150, "format": "webp"}, ["quality: expected an integer 1..100 for webp"]),
        ({"format": "blurash"}, ['did you mean "blurhash"']),
        ({"download": "a/b"}, ["download: expected a file name"]),
        ({"download": "\ud800"}, ["which is not UTF-8"]),
        ({"widht": 1, "height": 0, "fit": "crup"}, ["widht", "height: expected", 'did you mean "crop"']),
    ],
)
def test_a_wrong_parameter_is_the_servers_own_error(parameters: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(BadTransform) as caught:
        read_parameters(parameters)
    assert len(caught.value.mistakes) == len(told)
    assert all(part in mistake for part, mistake in zip(told, caught.value.mistakes, strict=True))


def test_a_query_is_read_as_well() -> None:
    assert compose(read_parameters("w=400&fm=auto&bg64=cmVk")) == "auto=format&background=ff0000&width=400"
    with pytest.raises(BadTransform, match="given twice"):
        read_parameters("w=400&width=500")


def test_a_query_longer_than_a_server_reads_is_refused() -> None:
    with pytest.raises(BadTransform, match="at most"):
        composed(preset="x" * MAX_BYTES)


@pytest.mark.parametrize(
    ("below", "above", "query"),
    [
        ({"width": 400}, {"w": 500}, "width=500"),
        ({"width": 400}, {"width": None, "height": 3}, "height=3"),
        ({"width": 400, "fit": "max"}, {"f": None}, "width=400"),
        ({"auto": "format", "width": 2}, {"format": "webp"}, "format=webp&width=2"),
        ({"auto": "format,compress"}, {"format": "webp"}, "auto=compress&format=webp"),
        ({"format": "auto"}, {"format": "webp"}, "format=webp"),
        ({"format": "webp"}, {"format": "auto"}, "auto=format"),
        ({"preset": "card"}, {"preset": None}, ""),
    ],
)
def test_parameters_go_before_what_lies_below(below: dict[str, Any], above: dict[str, Any], query: str) -> None:
    assert compose(read_parameters(above, read_parameters(below))) == query


def served(query: str, default: Preset | None) -> ParsedQuery:
    return parse_query(query, strict=True, presets=PRESETS, default=default, documents=True)


@settings(max_examples=400)
@given(asked(), st.sampled_from([None, DEFAULT]))
def test_a_server_reads_what_was_composed_as_what_was_requested(
    parameters: dict[str, Any], default: Preset | None
) -> None:
    query = composed(**parameters)
    plain, short = served(plainly(parameters), default), served(query, default)
    assert (short.transform, short.download, short.preset) == (plain.transform, plain.download, plain.preset)
    assert compose(read_parameters(query)) == query
    assert not query.endswith(",")
    assert " " not in query
