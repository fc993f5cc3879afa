"""Metrics that several server processes share in a folder, and what is left of processes that have ended."""

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from imgserve.metrics import SharedMetrics, remove_process

_PROGRAM = """
import sys
from prometheus_client import CollectorRegistry
from imgserve.metrics import Metrics
metrics = Metrics(CollectorRegistry())
metrics.requests.labels("image", "200", "memory").inc(3)
metrics.request_seconds.labels("memory").observe(0.0002)
metrics.rendering.set(2)
metrics.part_ok.labels("catalog").set(int(sys.argv[1]))
metrics.start_time_seconds.set(1000 + int(sys.argv[1]))
"""
LABELS = {"route": "image", "status": "200", "outcome": "memory"}


def ran(folder: Path, catalog: int) -> int:
    """Let a process count in the folder and end; return its id."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    with subprocess.Popen([sys.executable, "-c", _PROGRAM, str(catalog)], env=environment) as process:
        assert process.wait() == 0
    return process.pid


def figures(folder: Path) -> list[float | None]:
    registry = CollectorRegistry()
    registry.register(SharedMetrics(str(folder)))
    value = registry.get_sample_value
    return [
        value("imgserve_requests_total", LABELS),
        value("imgserve_request_seconds_count", {"outcome": "memory"}),
        value("imgserve_request_seconds_bucket", {"outcome": "memory", "le": "0.00025"}),
        value("imgserve_rendering", {}),
        value("imgserve_part_ok", {"part": "catalog"}),
        value("imgserve_start_time_seconds", {}),
    ]


def test_counters_of_ended_processes_stay_their_gauges_and_files_go(tmp_path: Path) -> None:
    first, second, third = (ran(tmp_path, catalog) for catalog in (0, 1, 1))
    assert figures(tmp_path) == [9, 3, 3, 6, 0, 1001]
    remove_process(str(tmp_path), first)
    assert figures(tmp_path) == [9, 3, 3, 4, 1, 1001]
    remove_process(str(tmp_path), second)
    remove_process(str(tmp_path), third)
    assert figures(tmp_path) == [9, 3, 3, None, None, None]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_0.db", "histogram_0.db", "lock"]


def test_a_process_that_counted_nothing_leaves_nothing(tmp_path: Path) -> None:
    remove_process(str(tmp_path), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
