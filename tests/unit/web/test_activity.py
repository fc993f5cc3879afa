"""The activity between two readings of the metrics."""

import math

import pytest
from prometheus_client import CollectorRegistry

from imgserve.metrics import Metrics
from imgserve.web.admin.activity import Reading, Saved, point, reading, saved

INF = math.inf


def taken(at: float, *, errors: float = 0, sent: float = 0, **outcomes: float) -> Reading:
    """Return a reading in which every picture took between 10 and 25 ms."""
    buckets = {name: {0.01: 0.0, 0.025: number, INF: number} for name, number in outcomes.items()}
    present = {"imgserve_render_queue": 2.0, "imgserve_rendering": 1.0, "imgserve_memory_bytes": 5e8}
    return Reading(at, outcomes, buckets, errors, {"imgserve_response_bytes_total": sent, **present})


def test_a_reading_sums_the_metrics_of_pictures() -> None:
    metrics = Metrics(CollectorRegistry())
    for route, status, outcome in (("image", "200", "memory"), ("image", "304", "not_modified"), ("api", "500", "ok")):
        metrics.requests.labels(route, status, outcome).inc(3)
        metrics.request_seconds.labels(outcome).observe(0.002)
    metrics.rejected.labels("bad_transform").inc(2)
    metrics.rejected.labels("bad_signature").inc(5)
    metrics.render_queue.set(4)
    found = reading(metrics.registry.collect(), 17.0)
    assert found.at == 17.0
    assert found.outcomes == {"memory": 3, "not_modified": 3}
    assert (found.errors, found.sums["imgserve_rejected_total"], found.sums["imgserve_render_queue"]) == (3, 7, 4)
    assert found.buckets["memory"][0.001] == 0
    assert found.buckets["memory"][0.0025] == 1


def test_a_point_has_rates_and_the_present_state() -> None:
    before, after = taken(100, memory=10, render=10), taken(110, memory=100, render=20, errors=5, sent=2e6)
    found = point(before, after)
    assert (found.at, found.requests, found.hit_ratio) == (110, 10.0, 0.9)
    assert (found.errors, found.sent) == (0.5, 2e5)
    assert (found.queue, found.rendering, found.memory) == (2.0, 1.0, 5e8)


def test_a_point_without_requests_has_no_ratio_and_no_durations() -> None:
    quiet = taken(100, memory=10, render=10)
    found = point(quiet, taken(105, memory=10, render=10))
    assert (found.requests, found.hit_ratio, found.hit_ms, found.render_ms) == (0, None, None, None)


@pytest.mark.parametrize(
    ("buckets", "milliseconds"),
    [
        ({0.001: 100.0, 0.01: 100.0, INF: 100.0}, 0.99),  # interpolated from 0
        ({0.001: 0.0, 0.01: 100.0, INF: 100.0}, 9.91),
        ({0.001: 98.0, 0.01: 99.0, INF: 100.0}, 10.0),
        ({0.001: 0.0, 0.01: 0.0, INF: 100.0}, 10.0),  # no more is known than that it took longer
    ],
)
def test_a_percentile_is_interpolated_in_its_bucket(buckets: dict[float, float], milliseconds: float) -> None:
    before = Reading(0, {}, {}, 0, {})
    after = Reading(5, {"disk": 100.0}, {"disk": buckets}, 0, {})
    assert point(before, after).hit_ms == pytest.approx(milliseconds, abs=0.005)


def test_counters_of_a_process_that_has_ended_never_make_a_rate_negative() -> None:
    found = point(taken(100, memory=500, sent=1e6), taken(105, memory=20))
    assert (found.requests, found.sent) == (0, 0)


def test_formats_are_compared_with_the_originals_the_most_saved_first() -> None:
    metrics = Metrics(CollectorRegistry())
    for name, sent, original in (("jpg", 500, 400), ("avif", 100, 4000), ("webp", 0, 0)):
        metrics.picture_bytes.labels(name).inc(sent)
        metrics.picture_original_bytes.labels(name).inc(original)
    metrics.demand_saved_bytes.labels("avif").inc(20)
    metrics.demand_seconds.labels("avif").inc(0.5)
    assert saved(metrics.registry.collect()) == [Saved("avif", 100, 4000, 20, 0.5), Saved("jpg", 500, 400)]
