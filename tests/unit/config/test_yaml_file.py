from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.config.yaml_file import read_yaml


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"", {}),
        (b"# only a comment\n", {}),
        (b"---\n", {}),
        (b"null\n", {}),
        (b"\xef\xbb\xbfa: 1\n", {"a": "1"}),
        (b"a: 1\r\nb: 2\r\n", {"a": "1", "b": "2"}),
        (b"a:\nb: ~\nc: null\nd: ''\n", {"d": ""}),
        (b"a: off\nb: 16:9\nc: 000000\nd: 2024-01-01\n", {"a": "off", "b": "16:9", "c": "000000", "d": "2024-01-01"}),
        (b"a: [1, x, null]\n", {"a": ["1", "x"]}),
        (b"a:\n  b:\n    c: x\n", {"a": {"b": {"c": "x"}}}),
        ("a: grün\n".encode(), {"a": "grün"}),
    ],
)
def test_every_value_stays_text_and_empty_ones_say_nothing(text: bytes, values: dict[str, Any]) -> None:
    file = read_yaml(text)
    assert (file.values, file.mistakes) == (values, [])


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        (b"a: 1\n\tb: 2\n", 2, "a tab; indent with spaces"),
        (b"a: 1\nb: [1\n", 2, "not valid YAML: a bracket, brace or quote is not closed"),
        (b"a: [1,\n", 2, "not valid YAML: a bracket, brace or quote is not closed"),
        (b"a: 1\nb: c: d\n", 2, "not valid YAML: mapping values are not allowed here"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8 text"),
        (b"a: 1\nb: \x01\n", 2, "the character 0x1 is not allowed"),
        (b"\n- a\n", 2, "expected sections of settings, but received a list"),
        (b"just text\n", 1, "expected sections of settings, but received a single value"),
        (b"a: 1\nb: 2\na: 3\n", 3, "a: already given in line 1"),
        (b"s:\n  a: 1\n  a:\n", 3, "s.a: already given in line 2"),
        (b"? [1]\n: 2\n", 1, "expected a name, but received a list"),
        (b"a: 1\nb: !!python/object/apply:os.system [x]\n", 2, "tags such as !!python/object/apply:os.system"),
        (b"a: &x [1, *x]\n", 1, "the value marked with &"),
        (b"a: &x {b: 1}\nc: *x\n", 1, "the value marked with &"),
        (b"a: *x\n", 1, "not valid YAML: found undefined alias"),
        (b"--- {}\n--- {}\n", 2, "expected one YAML document"),
        (b"a: " + b"[" * 5000, 1, "nested too deeply"),
    ],
)
def test_a_syntax_mistake_is_reported_with_its_line(text: bytes, line: int, sentence: str) -> None:
    [(found, told)] = read_yaml(text).mistakes
    assert found == line
    assert told.startswith(sentence)


def test_every_duplicate_is_reported() -> None:
    file = read_yaml(b"a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert file.mistakes == [(2, "a: already given in line 1"), (3, "b.c: already given in line 3")]


def test_lines_are_known_by_path() -> None:
    assert read_yaml(b"\na:\n  b: 1\n  c:\n").lines == {("a",): 2, ("a", "b"): 3, ("a", "c"): 4}


@given(st.binary(max_size=200))
def test_no_file_breaks_the_reader(data: bytes) -> None:
    assert isinstance(read_yaml(data).values, dict)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#?,% \n\t", max_size=60))
def test_no_yaml_breaks_the_reader(text: str) -> None:
    file = read_yaml(text.encode())
    assert all(line >= 1 for line, _ in file.mistakes)
