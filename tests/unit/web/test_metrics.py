"""Request metrics: counting in batches equals counting single requests."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from imgserve.metrics import Metrics
from imgserve.web.middleware import STATUSES, QuickOutcome, RequestMetrics


def counted(requests: list[tuple[QuickOutcome, float, int]], *, quickly: bool) -> list[str]:
    metrics = Metrics(CollectorRegistry())
    request_metrics, loop = RequestMetrics(metrics), asyncio.new_event_loop()
    for outcome, seconds, sent in requests:
        if quickly:
            request_metrics.count_quickly(outcome, seconds, sent, loop)
        else:
            request_metrics.count("image", STATUSES[outcome], outcome, seconds, sent)
    request_metrics.fold()
    loop.close()
    return sorted(line for line in generate_latest(metrics.registry).decode().splitlines() if "_created" not in line)


# Sixteenths of milliseconds, whose sums are exact in whatever order.
SECONDS = st.integers(0, 64).map(lambda number: number / 16384)


@given(st.lists(st.tuples(st.sampled_from(sorted(STATUSES)), SECONDS, st.integers(0, 10**7)), max_size=30))
def test_a_batch_counts_like_single_requests(requests: list[tuple[QuickOutcome, float, int]]) -> None:
    assert counted(requests, quickly=True) == counted(requests, quickly=False)


def test_batches_are_added_to_the_metrics_after_a_moment() -> None:
    metrics = Metrics(CollectorRegistry())

    async def count() -> float | None:
        request_metrics = RequestMetrics(metrics)
        for _ in range(3):
            request_metrics.count_quickly("memory", 0.0001, 10, asyncio.get_running_loop())
        await asyncio.sleep(0.2)
        request_metrics.count_quickly("memory", 0.0001, 10, asyncio.get_running_loop())
        await asyncio.sleep(0.2)
        return metrics.registry.get_sample_value("imgserve_response_bytes_total", {"route": "image"})

    assert asyncio.run(count()) == 40


def test_the_bytes_of_a_picture_are_in_the_metrics_after_a_slow_hit() -> None:
    metrics, loop = Metrics(CollectorRegistry()), asyncio.new_event_loop()
    request_metrics = RequestMetrics(metrics)
    request_metrics.pictures("webp").sent += 10
    request_metrics.count_quickly("memory", 0.05, 10, loop)
    loop.close()
    assert metrics.registry.get_sample_value("imgserve_picture_bytes_total", {"format": "webp"}) == 10


def test_outcomes_that_did_not_occur_are_not_listed() -> None:
    metrics = Metrics(CollectorRegistry())
    RequestMetrics(metrics).fold()
    assert b"not_modified" not in generate_latest(metrics.registry)


def test_low_observations_are_added_to_the_first_bucket_only() -> None:
    seconds = Metrics(CollectorRegistry()).request_seconds.labels("memory")
    seconds.observe_low(5, 0.002)
    seconds.observe(0.002)
    samples = {sample.labels.get("le", sample.name): sample.value for sample in seconds._child_samples()}
    assert (samples["0.001"], samples["0.0025"]) == (5, 6)
    assert samples["_sum"] == pytest.approx(0.004)
