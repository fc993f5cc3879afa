"""Every counter, gauge and histogram, declared once."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper bounds of the buckets for requests, in seconds."""

_SCAN = (0.01, 0.1, 1, 10, 60, 600)
_RENDER = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class LatencyHistogram(Histogram):
    """A histogram that adds many low observations at once."""

    def observe_low(self, number: int, seconds: float) -> None:
        """Add a number of observations within the first bucket, with their total seconds."""
        self._sum.inc(seconds)
        self._buckets[0].inc(number)


class Metrics:
    """The metrics of one server process; prometheus_client sums them over several processes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Declare the metrics in a separate registry, so that two servers in one process do not mix."""
        self.registry = registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"imgserve_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> LatencyHistogram:
            return LatencyHistogram(f"imgserve_{name}_seconds", text, labels, buckets=buckets, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"imgserve_{name}", text, labels, registry=registry, multiprocess_mode="livesum")

        self.requests = counter("requests", "Responses by route, status and outcome.", "route", "status", "outcome")
        self.request_seconds = seconds(
            "request", "Time from the request to the end of the response.", LATENCY, "outcome"
        )
        self.site_requests = counter("site_requests", "Picture requests of a site by outcome.", "site", "outcome")
        self.response_bytes = counter("response_bytes", "Bytes of response bodies.", "route")
        self.renders = counter("renders", "Pictures rendered.", "format", "result")
        self.render_seconds = seconds("render", "Time to render a picture in its process.", _RENDER, "format")
        self.render_wait_seconds = seconds(
            "render_wait", "Time that a picture waited for a rendering process.", _RENDER
        )
        self.rendering = gauge("rendering", "Pictures being rendered.")
        self.render_queue = gauge("render_queue", "Pictures waiting for a rendering process.")
        self.render_process_deaths = counter("render_process_deaths", "Rendering processes lost.", "reason")
        self.render_processes_recycled = counter(
            "render_processes_recycled", "Rendering processes replaced by the recycle policy."
        )
        self.renders_made_from = counter("renders_made_from", "Pictures rendered, by their input.", "what")
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
