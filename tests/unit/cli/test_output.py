import pytest

from imgserve.cli.output import size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 KB"), (8206, "8.21 KB"), (244_473, "244 KB"), (999_499, "999 KB"),
     (999_500, "1 MB"), (10**10, "10 GB"), (5 * 10**15, "5000 TB")],
)  # fmt: skip
def test_a_size_has_three_digits_and_a_unit(size: int, text: str) -> None:
    assert size_text(size) == text
