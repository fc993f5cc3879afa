import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.config.values import parse_duration, parse_whole_duration, write_duration, write_size
from imgserve.transform.quantities import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("1_000", 1000),
        ("17B", 17),
        ("10KB", 10_000),
        ("10GB", 10**10),
        ("10 gb", 10**10),
        (" 1.5MB ", 1_500_000),
        ("2TB", 2 * 10**12),
        ("1KiB", 1024),
        ("64mib", 64 * 2**20),
        ("2GiB", 2**31),
        ("0.5GiB", 2**29),
        ("1TiB", 2**40),
    ],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "lots", "-1", "1.5B", "0.3KiB", "10G", "GB", "1e9", "10GBs", "10 30", "9" * 5000, "9" * 18 + "TB", "१"]
)
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("30", 30), ("0.25", 0.25), ("500ms", 0.5), ("30s", 30), ("5m", 300), ("1.5h", 5400), ("1 D", 86400)],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1:30", "1y", "nan", "inf", "1m30s", "1.s"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_duration(text)


def test_a_whole_duration_has_no_fraction_of_a_second() -> None:
    assert parse_whole_duration("2000ms") == 2
    with pytest.raises(ValueError, match="1500ms"):
        parse_whole_duration("1500ms")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (1, "1"), (1023, "1023"), (1024, "1KiB"), (10**10, "10GB"), (64 * 2**20, "64MiB"), (1500, "1500")],
)
def test_a_size_is_written_in_the_largest_unit_that_divides_it(size: int, text: str) -> None:
    assert write_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.9, "900ms"),
        (2.0, "2s"),
        (90, "90s"),
        (300.0, "5m"),
        (3600, "1h"),
        (86400, "1d"),
        (1e-5, "0.00001s"),
    ],
)
def test_a_duration_is_written_in_the_largest_unit_that_divides_it(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text


@given(st.integers(min_value=0, max_value=2**53))
def test_a_size_survives_being_written(size: int) -> None:
    assert parse_size(write_size(size)) == size


@given(st.integers(min_value=0, max_value=10**12).map(lambda milliseconds: milliseconds / 1000))
def test_a_duration_survives_being_written(seconds: float) -> None:
    assert parse_duration(write_duration(seconds)) == seconds
