"""OpenTelemetry: requests of the ordinary path as traces, sent over OTLP. Needs the extra `otel`."""

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from imgserve import __version__
from imgserve.tracing import Trace, current_trace
from imgserve.web.middleware import KEY, RequestRecord

_PATH = "/v1/traces"
_TIMEOUT = 5
"""Seconds for one export."""
_SERVER_ERROR = 500
_NOT_TRACED = frozenset({"/healthz", "/readyz", "/metrics"})
_HEADERS = {b"traceparent", b"tracestate"}
_NANOSECONDS = 1_000_000_000


class RequestTracing:
    """Decides which requests are traced, and exports them in batches from a thread."""

    def __init__(self, endpoint: str, ratio: float) -> None:
        """Send traces to a collector; of those that no caller has begun, trace this part."""
        url = endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _PATH
        resource = Resource.create({SERVICE_NAME: "imgserve", SERVICE_VERSION: __version__})
        self._provider = TracerProvider(
            resource=resource, sampler=ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False
        )
        self._url = url
        self._tracer = self._provider.get_tracer("imgserve", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._open: dict[Trace, Span] = {}

    def open(self) -> None:
        """Start the thread that exports."""
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(self._url, timeout=_TIMEOUT)))

    def close(self) -> None:
        """Export what was collected, and end the thread."""
        self._provider.shutdown()

    def begin(self, scope: Scope) -> Trace | None:
        """Return the trace of a request, which is current from now on; None if it is not sampled."""
        if scope["path"] in _NOT_TRACED:
            return None
        carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS}
        parent = self._propagator.extract(carrier) if carrier else None
        span = self._tracer.start_span(scope["method"], parent, SpanKind.SERVER)
        if not span.is_recording():
            return None
        trace = Trace(f"{span.get_span_context().trace_id:032x}")
        self._open[trace] = span
        current_trace.set(trace)
        return trace

    def finish(self, trace: Trace, scope: Scope) -> None:
        """Export the request and its parts."""
        trace.closed = True
        span, record = self._open.pop(trace), scope[KEY]
        ended, offset = time.time_ns(), time.time_ns() - time.perf_counter_ns()
        spans = list[Span]()
        for part in trace.spans:
            parent = span if part.parent is None else spans[part.parent]
            child = self._tracer.start_span(
                part.name,
                set_span_in_context(parent),
                attributes=part.attributes,
                start_time=offset + round(part.started * _NANOSECONDS),
            )
            child.end(offset + round(part.ended * _NANOSECONDS))
            spans.append(child)
        span.update_name(f"{scope['method']} {record.route}")
        span.set_attributes(_attributes(scope, record))
        if record.status >= _SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR, record.outcome))
        span.end(ended)


def _attributes(scope: Scope, record: RequestRecord) -> Mapping[str, str | int]:
    """Return what describes a request, by the semantic conventions of HTTP; the query may contain secrets."""
    return {
        "http.request.method": scope["method"],
        "http.response.status_code": record.status,
        "http.response.body.size": record.sent,
        "http.route": record.route,
        "url.path": scope["path"].encode("utf-8", "replace").decode(),
        "imgserve.outcome": record.outcome,
        "imgserve.request_id": record.request_id,
    }
