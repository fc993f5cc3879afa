"""Counting by the bunch gives the same figures as counting one by one."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from imgserve.metrics import Metrics
from imgserve.web.request_log import STATUSES, QuickOutcome, RequestMetrics


def counted(requests: list[tuple[QuickOutcome, float, int]], *, quickly: bool) -> list[str]:
    metrics = Metrics(CollectorRegistry())
    figures, loop = RequestMetrics(metrics), asyncio.new_event_loop()
    for outcome, seconds, sent in requests:
        if quickly:
            figures.count_quickly(outcome, seconds, sent, loop)
        else:
            figures.count("image", STATUSES[outcome], outcome, seconds, sent)
    figures.fold()
    loop.close()
    return sorted(line for line in generate_latest(metrics.registry).decode().splitlines() if "_created" not in line)


# Sixteenths of milliseconds, whose sums are exact in whatever order.
SECONDS = st.integers(0, 64).map(lambda number: number / 16384)


@given(st.lists(st.tuples(st.sampled_from(sorted(STATUSES)), SECONDS, st.integers(0, 10**7)), max_size=30))
def test_a_bunch_counts_as_its_requests_would(requests: list[tuple[QuickOutcome, float, int]]) -> None:
    assert counted(requests, quickly=True) == counted(requests, quickly=False)


def test_what_was_counted_is_folded_in_a_moment_by_itself() -> None:
    metrics = Metrics(CollectorRegistry())

    async def count() -> float | None:
        figures = RequestMetrics(metrics)
        for _ in range(3):
            figures.count_quickly("memory", 0.0001, 10, asyncio.get_running_loop())
        await asyncio.sleep(0.2)
        figures.count_quickly("memory", 0.0001, 10, asyncio.get_running_loop())
        await asyncio.sleep(0.2)
        return metrics.registry.get_sample_value("imgserve_response_bytes_total", {"route": "image"})

    assert asyncio.run(count()) == 40


def test_nothing_is_told_of_what_did_not_happen() -> None:
    metrics = Metrics(CollectorRegistry())
    RequestMetrics(metrics).fold()
    assert b"not_modified" not in generate_latest(metrics.registry)


def test_low_observations_are_told_apart_from_others() -> None:
    seconds = Metrics(CollectorRegistry()).request_seconds.labels("memory")
    seconds.observe_low(5, 0.002)
    seconds.observe(0.002)
    samples = {sample.labels.get("le", sample.name): sample.value for sample in seconds._child_samples()}
    assert (samples["0.001"], samples["0.0025"]) == (5, 6)
    assert samples["_sum"] == pytest.approx(0.004)
