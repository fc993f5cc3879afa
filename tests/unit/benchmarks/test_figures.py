import json
from pathlib import Path

import pytest

from benchmarks.figures import Figure, Figures, Wanted, at_least, at_most, exactly, percentile, ratios


@pytest.mark.parametrize(
    ("values", "wanted", "row"),
    [
        ((2.0,), None, "| hit | 2 |  | ms |  |  |"),
        ((1.0, 3.0, 2.0), at_most(2), "| hit | 2 | 1 .. 3 | ms | <= 2 | yes |"),
        ((0.8, 0.9), at_least(0.9), "| hit | 0.85 | 0.8 .. 0.9 | ms | >= 0.9 | **no** |"),
        ((12_345.6, 99.94, 10.26), exactly(1), "| hit | 99.9 | 10.3 .. 12,346 | ms | = 1 | **no** |"),
    ],
)
def test_a_row_reports_median_spread_and_whether_it_is_what_is_requested(
    values: tuple[float, ...], wanted: Wanted | None, row: str
) -> None:
    assert Figure("hit", "ms", values, wanted).row() == row


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_a_round_that_was_too_short_for_the_clock_is_left_out() -> None:
    printed: list[str] = []
    figures = Figures(printed.append)
    figures.add("time", "ratio", ratios([2.0, 9.0], [0.0, 3.0]), at_least(1))
    figures.add("no time", "ratio", ratios([2.0, 9.0], [0.0, 0.0]), at_least(1))
    assert [figure.values for figure in figures.items] == [(3.0,)]
    assert "too little to measure" in printed[1]


@pytest.mark.parametrize(
    ("values", "percent", "printed"),
    [([5.0], 99, 5.0), ([float(n) for n in range(101)], 99, 99.0), ([1.0, 3.0], 50, 2.0)],
)
def test_a_percentile_is_what_so_many_percent_do_not_exceed(values: list[float], percent: int, printed: float) -> None:
    assert percentile(values, percent) == pytest.approx(printed)


def test_figures_are_reported_at_once_and_written_with_their_circumstances(tmp_path: Path) -> None:
    printed: list[str] = []
    figures = Figures(printed.append)
    figures.add("hit / bare", "ratio", [0.75, 1.25], at_least(0.9))
    figures.write(tmp_path / "out.json", {"cores": 2})
    written = json.loads((tmp_path / "out.json").read_text())
    assert len(printed) == 1
    assert written["cores"] == 2
    assert written["figures"] == [
        {
            "name": "hit / bare", "unit": "ratio", "median": 1.0, "least": 0.75, "most": 1.25,
            "rounds": [0.75, 1.25], "wanted": ">= 0.9", "met": True,
        }
    ]  # fmt: skip
