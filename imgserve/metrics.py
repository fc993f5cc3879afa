"""Every counter, gauge and histogram, declared once, and how those of several server processes are added up."""

import fcntl
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, disable_created_metrics
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from imgserve import __version__
from imgserve.errors import every_error

LATENCY = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper bounds of the buckets for requests, in seconds: most hits in memory are in the first, which costs a tenth."""

_SCAN = (0.01, 0.1, 1, 10, 60, 600)
_RENDER = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ACROSS = Literal["livesum", "livemin", "livemax"]


class LatencyHistogram(Histogram):
    """A histogram that adds many low observations at once."""

    def observe_low(self, number: int, seconds: float) -> None:
        """Add a number of observations within the first bucket, with their total seconds."""
        self._sum.inc(seconds)
        self._buckets[0].inc(number)


class PictureTally:
    """Bytes of whole pictures of one format and of their originals, until they are added to the metrics."""

    __slots__ = ("original", "sent")

    def __init__(self) -> None:
        self.sent = self.original = 0


class Metrics:
    """The metrics of one server process; prometheus_client sums them over several processes."""

    def __init__(self, registry: CollectorRegistry) -> None:  # noqa: PLR0915  a list
        """Declare the metrics in a separate registry, so that two servers in one process do not mix."""
        self.registry = registry
        # It would write a second line for each series, which Prometheus does not use.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"imgserve_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> LatencyHistogram:
            return LatencyHistogram(f"imgserve_{name}_seconds", text, labels, buckets=buckets, registry=registry)

        def gauge(name: str, text: str, *labels: str, across: _ACROSS = "livesum") -> Gauge:
            return Gauge(f"imgserve_{name}", text, labels, registry=registry, multiprocess_mode=across)

        self.requests = counter("requests", "Responses by route, status and outcome.", "route", "status", "outcome")
        self.request_seconds = seconds(
            "request", "Time from the request to the end of the response.", LATENCY, "outcome"
        )
        self.site_requests = counter("site_requests", "Picture requests of a site by outcome.", "site", "outcome")
        self.response_bytes = counter("response_bytes", "Bytes of response bodies.", "route")
        self.picture_bytes = counter("picture_bytes", "Bytes of whole pictures sent, by their format.", "format")
        self.picture_original_bytes = counter(
            "picture_original_bytes", "Bytes of the originals of these pictures, by the format sent.", "format"
        )
        self.renders = counter("renders", "Pictures rendered.", "format", "result")
        self.render_seconds = seconds("render", "Time to render a picture in its process.", _RENDER, "format")
        self.render_wait_seconds = seconds(
            "render_wait", "Time that a picture waited for a rendering process.", _RENDER
        )
        self.rendering = gauge("rendering", "Pictures being rendered.")
        self.render_slots = gauge("render_slots", "Pictures that can be rendered at a time.")
        self.render_queue = gauge("render_queue", "Pictures waiting for a rendering process.")
        self.render_queue_limit = gauge("render_queue_limit", "Pictures that may wait; further ones are rejected.")
        self.render_process_deaths = counter("render_process_deaths", "Rendering processes lost.", "reason")
        self.render_processes_recycled = counter(
            "render_processes_recycled", "Rendering processes replaced by the recycle policy."
        )
        self.renders_made_from = counter("renders_made_from", "Pictures rendered, by their input.", "what")
        self.demand_renders = counter("demand_renders", "Popular pictures encoded again with more effort.", "result")
        self.demand_seconds = counter("demand_seconds", "Time of these encodings in their process.", "format")
        self.demand_saved_bytes = counter("demand_saved_bytes", "Bytes that they saved in responses.", "format")
        self.mezzanines = counter("mezzanines", "Mezzanines rendered, by result.", "result")
        self.inspections = counter("inspections", "Originals inspected for the catalog.", "result")
        self.inspection_seconds = seconds("inspection", "Time to inspect an original in its process.", _RENDER)
        self.ingested = counter("ingested", "Originals ingested, by origin and outcome.", "origin", "outcome")
        self.ingest_seconds = seconds("ingest", "Time from inspection to record of an original.", LATENCY, "origin")
        self.coalesced = counter("coalesced", "Requests that shared a rendering in progress.")
        self.rejected = counter("rejected", "Requests rejected or failed, by machine code.", "reason")
        self.access_log_dropped = counter("access_log_dropped", "Lines of the access log that could not be written.")
        self.access_failures = counter("access_failures", "Calls of the API without a valid key.", "reason")
        self.rate_limit_errors = counter(
            "rate_limit_errors", "Failures to count for rate limits; the process then counts by itself."
        )
        self.cache_hits = counter("cache_hits", "Lookups with a result, by tier.", "tier")
        self.cache_misses = counter("cache_misses", "Lookups without a result, by tier.", "tier")
        self.cache_evictions = counter("cache_evictions", "Renditions removed for space.", "tier")
        self.cache_errors = counter("cache_errors", "Errors of a tier; requests continue without it.", "tier")
        self.cache_bytes = gauge("cache_bytes", "Bytes of renditions in a tier.", "tier")
        self.cache_entries = gauge("cache_entries", "Renditions in a tier.", "tier")
        self.cache_limit_bytes = gauge("cache_limit_bytes", "Byte budget of a tier.", "tier")
        self.cdn_purges = counter("cdn_purges", "Calls to caches in front.", "cache", "result")
        self.watch_events = counter("watch_events", "Changes of originals reported by the system.")
        self.watch_pending = gauge("watch_pending", "Changed originals not yet recorded or removed.")
        self.watch_problems = counter("watch_problems", "Changed files that are not usable images.")
        self.watch_scan_seconds = seconds("watch_scan", "Time to compare all originals with the catalog.", _SCAN)
        self.memory_bytes = gauge("memory_bytes", "Resident memory by kind of process.", "kind")
        self.cpu_seconds = counter("cpu_seconds", "Processor time by kind of process.", "kind")
        self.processes = gauge("processes", "Running processes by kind.", "kind")
        self.open_files = gauge("open_files", "Open files and connections of the server processes.")
        self.open_files_limit = gauge("open_files_limit", "Files and connections that they may open.")
        self.disk_free_bytes = gauge(
            "disk_free_bytes", "Bytes available on the disk of a folder.", "folder", across="livemin"
        )
        self.disk_size_bytes = gauge("disk_size_bytes", "Size of the disk of a folder.", "folder", across="livemin")
        self.part_ok = gauge("part_ok", "1 if a part works, 0 if it is degraded or failed.", "part", across="livemin")
        self.start_time_seconds = gauge(
            "start_time_seconds", "Unix time of the last start of a server process.", across="livemax"
        )
        self.build_info = gauge(
            "build_info", "1; the labels are versions.", "version", "python", "pipeline", across="livemax"
        )
        # Known values are present from the start: otherwise the first event is no increase for Prometheus.
        for reason in ("crash", "timeout"):
            self.render_process_deaths.labels(reason)
        for error in every_error():
            self.rejected.labels(error.code)

    def set_build_info(self, pipeline: str) -> None:
        """Publish the versions of imgserve, Python and the pipeline of the rendering processes."""
        self.build_info.labels(__version__, platform.python_version(), pipeline).set(1)


class SharedMetrics(Collector):
    """The metrics of all server processes, read from their files in a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files = MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped

    def collect(self) -> Iterable[Metric]:
        """Return the sums; no process is removed meanwhile."""
        with _locked(self._folder, fcntl.LOCK_SH):
            return list(self._files.collect())  # type: ignore[no-untyped-call]


def remove_process(folder: str, pid: int) -> None:
    """Add the counters of a process that ended to those of earlier ones, and remove its files and gauges.

    The folder does not grow with the number of processes that have ended.
    """
    with _locked(folder, fcntl.LOCK_EX):
        mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
        for kind in ("counter", "histogram"):
            ended = Path(folder, f"{kind}_{pid}.db")
            if ended.exists():
                _add_up(ended, Path(folder, f"{kind}_{_ENDED}.db"))
                ended.unlink()


_ENDED = 0
"""In place of a process id: the sum of the processes that have ended."""


def _add_up(ended: Path, total: Path) -> None:
    values: Mapping[str, float] = {
        key: value
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(ended))  # type: ignore[no-untyped-call]
    }
    file = MmapedDict(str(total))  # type: ignore[no-untyped-call]
    for key, value in values.items():
        file.write_value(key, file.read_value(key)[0] + value, 0.0)  # type: ignore[no-untyped-call]
    file.close()  # type: ignore[no-untyped-call]


@contextmanager
def _locked(folder: str, kind: int) -> Iterator[None]:
    with Path(folder, "lock").open("a") as file:
        fcntl.flock(file, kind)
        yield
