"""What holds for every query: parsing never breaks, text and transform are the same, settling is final."""

import re
from contextlib import suppress
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.errors import BadTransform
from imgserve.formats import FORMATS, Format
from imgserve.transform import PARAMETERS, Transform, canonical, normalize, parse_preset, parse_query
from tests.parameters import SAMPLES

NAMES = [name for row in PARAMETERS for name in (row.name, *row.aliases)]
NUMBERS = st.one_of(
    st.integers(1, 12000).map(str),
    st.floats(0, 1, exclude_min=True).map(lambda x: f"{x:.9f}"),
    st.floats(0, 400, allow_subnormal=False).map(lambda x: f"{x:.3f}"),
    st.sampled_from(["0", "1", "2", "90", "100", "200", "256", "0.5", "1.0"]),
)
WORDS = st.sampled_from(
    sorted({word for row in PARAMETERS for word in row.kind.known} | {"red", "fff", "white", "8f80"})
)
LISTS = st.lists(
    st.sampled_from(["top", "bottom", "left", "right", "center", "entropy", "edges", "faces", "focalpoint"])
)
RECTS = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS).map(",".join)
ASPECTS = st.tuples(NUMBERS, NUMBERS).map(":".join)
VALUES = st.one_of(NUMBERS, WORDS, LISTS.map(",".join), RECTS, ASPECTS, st.text(max_size=5))
FORMAT = st.sampled_from(list(FORMATS.values()))
OUTPUT = FORMAT.filter(lambda item: item.writable)


def readable(pair: tuple[str, str]) -> bool:
    try:
        parse_preset({pair[0]: pair[1]})
    except BadTransform:
        return False
    return True


def outcome(query: str) -> tuple[Transform | None, str]:
    try:
        return parse_query(query).transform, ""
    except BadTransform as error:
        return None, error.detail


ROWS = [row.name for row in PARAMETERS if row.name not in ("preset", "download")]
EACH = {
    "width": NUMBERS,
    "height": NUMBERS,
    "aspect": ASPECTS,
    "crop": LISTS.map(",".join),
    "rect": RECTS,
    "dpr": NUMBERS,
    "focus-x": NUMBERS,
    "focus-y": NUMBERS,
    "focus-zoom": NUMBERS,
    "rotate": NUMBERS,
    "quality": NUMBERS,
    "colors": NUMBERS,
    "page": NUMBERS,
    "frame": NUMBERS,
    "enlarge": st.sampled_from("01"),
    "lossless": st.sampled_from("01"),
    "progressive": st.sampled_from("01"),
    "animate": st.sampled_from("01"),
    "orient": st.sampled_from(["0", "1", "6", "90"]),
    "auto": st.sampled_from(["format", "compress", "enhance", "format,compress"]),
}


def _values(name: str) -> st.SearchStrategy[str]:
    kind = next(row.kind for row in PARAMETERS if row.name == name)
    words = sorted(kind.known or kind.words)
    if name in EACH or kind in SAMPLES:
        return EACH[name] if name in EACH else st.sampled_from(SAMPLES[kind])
    return st.sampled_from(words) if words else st.integers(*map(int, kind.range or (0, 1))).map(str)


@st.composite
def transforms(draw: st.DrawFn) -> Transform:
    """Draw what parsing can produce: a few parameters, each with a value of its own kind."""
    names = draw(st.lists(st.sampled_from(ROWS), unique=True, max_size=12))
    pairs = [(name, draw(_values(name))) for name in names]
    query = "&".join(f"{name}={quote(value)}" for name, value in pairs if readable((name, value)))
    return outcome(query)[0] or Transform()  # nothing where a quality above 100 met another format


@settings(max_examples=400, deadline=None)
@given(transforms())
def test_the_text_of_a_transform_is_read_back_as_the_same_transform(transform: Transform) -> None:
    text = canonical(transform)
    again = parse_query(text, strict=True)
    assert again.transform == transform
    assert canonical(again.transform) == text
    assert not again.notes
    assert re.fullmatch(r"[A-Za-z0-9._,=&~:-]*", text)


@settings(max_examples=400, deadline=None)
@given(transforms(), FORMAT, OUTPUT, st.booleans())
def test_settling_twice_changes_nothing(transform: Transform, original: Format, output: Format, point: bool) -> None:
    with suppress(BadTransform):
        once = normalize(transform, original, output, focal_point=point)
        assert canonical(normalize(once, original, output, focal_point=point)) == canonical(once)
        assert parse_query(canonical(once)).transform == once
        assert once.auto <= {"enhance"}


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(max_size=40)), st.booleans())
def test_no_query_breaks_parsing(raw: bytes | str, strict: bool) -> None:
    with suppress(BadTransform):
        parse_query(raw, strict=strict)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([*NAMES, "s", "w64", "f64", "bg64", "crop64"]), VALUES | st.binary(max_size=6)))
)
def test_no_value_of_a_known_name_breaks_parsing(pairs: list[tuple[str, str | bytes]]) -> None:
    query = "&".join(f"{name}={quote(value)}" for name, value in pairs)
    transform, mistakes = outcome(query)
    assert mistakes.isprintable()
    if transform is not None:
        assert parse_query(canonical(transform)).transform == transform


@given(st.text(alphabet=st.characters(codec=None), max_size=10))
def test_any_text_in_python_is_a_query_or_a_mistake(raw: str) -> None:
    with suppress(BadTransform):
        parse_query(f"w={raw}")
    with suppress(BadTransform):
        parse_preset({"width": raw})
