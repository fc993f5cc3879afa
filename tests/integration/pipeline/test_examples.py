"""Each parameter has an example, which shows what it does and still looks as documented."""

import functools

import pytest

from imgserve.transform.examples import example_of
from imgserve.transform.parameters import PICTURE_GROUPS, Parameter
from tests.examples import STATIC, alike, example_file, opened, rendered, sample

ROWS = [row for rows in PICTURE_GROUPS.values() for row in rows]
EACH = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
INVISIBLE = {
    "face-pad", "face-index",  # no sample picture has faces
    "format", "auto", "lossless", "progressive", "chroma", "loop", "page", "profile", "metadata", "hdr", "download",
}  # fmt: skip
"""Parameters that change no pixels of their examples."""


@EACH
def test_an_example_looks_as_it_is_documented(row: Parameter) -> None:
    assert alike(example_file(row).read_bytes(), rendered(row).data)


@EACH
def test_an_example_shows_the_effect_of_its_parameter(row: Parameter) -> None:
    example = example_of(row)
    own, _, others = example.query.partition("&")
    assert own.partition("=")[0] == row.name
    exact = "" if row.name in {"quality", "colors"} else "&lossless=1&format=webp"
    shown, plain = (_pixels(example.picture, query + exact) for query in (example.query, others or "width=300"))
    assert (shown == plain) == (row.name in INVISIBLE)


@functools.lru_cache(8)
def _pixels(picture: str, query: str) -> bytes:
    return bytes(opened(sample(picture, query).data).write_to_memory())


def test_every_example_belongs_to_a_parameter() -> None:
    assert {file.stem for file in (STATIC / "examples").iterdir()} == {row.name for row in ROWS}
