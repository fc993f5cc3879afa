"""Every counter, gauge and histogram, declared once; parts get this object and count where things happen."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper bounds of the buckets for requests, in seconds."""

_SCAN = (0.01, 0.1, 1, 10, 60, 600)
_RENDER = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class LatencyHistogram(Histogram):
    """A histogram that takes many low observations at the price of one."""

    def observe_low(self, number: int, seconds: float) -> None:
        """Observe so many at once, which took so long in all and each no longer than the first bucket holds."""
        self._sum.inc(seconds)
        self._buckets[0].inc(number)


class Metrics:
    """The figures of one server process, added up over processes by prometheus_client where there are several."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Declare everything in a registry of one's own, so that two servers in one process do not mix."""
        self.registry = registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"imgserve_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> LatencyHistogram:
            return LatencyHistogram(f"imgserve_{name}_seconds", text, labels, buckets=buckets, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"imgserve_{name}", text, labels, registry=registry, multiprocess_mode="livesum")

        self.requests = counter("requests", "Requests answered.", "route", "status", "outcome")
        self.request_seconds = seconds("request", "From request to the end of the answer.", LATENCY, "outcome")
        self.response_bytes = counter("response_bytes", "Bytes of bodies sent.", "route")
        self.renders = counter("renders", "Pictures rendered.", "format", "result")
        self.render_seconds = seconds("render", "In a rendering process, a picture.", _RENDER, "format")
        self.render_wait_seconds = seconds("render_wait", "Waiting for a rendering process, a picture.", _RENDER)
        self.rendering = gauge("rendering", "Pictures being rendered.")
        self.render_queue = gauge("render_queue", "Pictures waiting for a rendering process.")
        self.render_process_deaths = counter("render_process_deaths", "Rendering processes lost.", "reason")
        self.render_processes_recycled = counter("render_processes_recycled", "Rendering processes replaced when worn.")
        self.renders_made_from = counter("renders_made_from", "Pictures rendered, by what they were made from.", "what")
        self.mezzanines = counter("mezzanines", "Mezzanines made, kept or not.", "result")
        self.inspections = counter("inspections", "Originals inspected for the catalog.", "result")
        self.inspection_seconds = seconds("inspection", "In a rendering process, an original.", _RENDER)
        self.ingested = counter(
            "ingested", "Originals that came in, by how and by what became of them.", "origin", "outcome"
        )
        self.ingest_seconds = seconds(
            "ingest", "From the look at an original to its record, a picture.", LATENCY, "origin"
        )
        self.coalesced = counter("coalesced", "Requests that shared a rendering already under way.")
        self.rejected = counter("rejected", "Requests refused or failed, by machine code.", "reason")
        self.access_failures = counter("access_failures", "Calls of the API without a valid key.", "reason")
        self.cache_hits = counter("cache_hits", "Look-ups answered by a tier.", "tier")
        self.cache_misses = counter("cache_misses", "Look-ups that a tier could not answer.", "tier")
        self.cache_evictions = counter("cache_evictions", "Renditions removed for space.", "tier")
        self.cache_errors = counter("cache_errors", "Failures of a tier; requests go on without it.", "tier")
        self.cache_bytes = gauge("cache_bytes", "Bytes of renditions in a tier.", "tier")
        self.cache_entries = gauge("cache_entries", "Renditions in a tier.", "tier")
        self.cache_limit_bytes = gauge("cache_limit_bytes", "Byte budget of a tier.", "tier")
        self.cdn_purges = counter("cdn_purges", "Calls to caches in front.", "cache", "result")
        self.watch_events = counter("watch_events", "Changes of originals that the system told of.")
        self.watch_pending = gauge("watch_pending", "Changed originals that are still to be recorded or forgotten.")
        self.watch_problems = counter("watch_problems", "Changed files that turned out to be no usable image.")
        self.watch_scan_seconds = seconds("watch_scan", "Comparing all originals with the catalog.", _SCAN)
        self.memory_bytes = gauge("memory_bytes", "Resident memory by kind of process.", "kind")
