"""The simulation of the tiers."""

import re
from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring

from benchmarks.sizing import KILOBYTES, OUTCOMES, Budgets, plot, simulate

ROOT = Path(__file__).parents[3]
GB = 10**9


def test_a_larger_tier_never_answers_less() -> None:
    results = [simulate(500, Budgets(10**6, size, 0), requests=20_000) for size in (0, GB // 50, GB // 5, GB)]
    rendered = [result.shares["original"] for result in results]
    assert rendered[0] > 0.9
    assert rendered == sorted(rendered, reverse=True)
    assert [result.milliseconds for result in results] == sorted((one.milliseconds for one in results), reverse=True)
    assert results[0].shares["disk"] == 0


def test_shares_are_of_all_requests_and_equal_arguments_give_equal_shares() -> None:
    result = simulate(200, Budgets(), requests=5_000)
    assert sum(result.shares.values()) == pytest.approx(1)
    assert simulate(200, Budgets(), requests=5_000) == result
    assert simulate(200, Budgets(mezzanines=100 * GB), requests=5_000).shares["mezzanine"] > result.shares["mezzanine"]


def test_the_plot_is_an_svg_with_one_area_for_each_tier() -> None:
    results = [simulate(100, Budgets(disk=size * GB), requests=2_000) for size in (1, 2)]
    tree = fromstring(plot("A & B", [1, 2], results))
    assert len(tree.findall("{*}polygon")) == len(OUTCOMES)


def test_the_document_repeats_the_figures_of_the_simulation() -> None:
    text = (ROOT / "docs/sizing.md").read_text(encoding="utf-8")
    for name, title in (("avif", "AVIF"), ("webp", "WebP"), ("jpg", "JPEG")):
        (row,) = re.findall(rf"^\| {title}, KB \|(.*)\|$", text, re.MULTILINE)
        assert tuple(map(int, row.split("|"))) == KILOBYTES[name]
