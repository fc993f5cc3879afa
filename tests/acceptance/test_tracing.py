"""Traces: the spans of a request as a collector receives them over OTLP."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from tests.prefork import PATIENCE, ROOT
from tests.servers import Server, environment, server, until

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"


@dataclass
class Collector:
    """Receives spans, as an OpenTelemetry Collector does."""

    url: str = ""
    spans: list[Any] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)

    def of(self, trace_id: str) -> dict[str, Any]:
        """Return the spans of a trace by name."""
        return {span.name: span for span in self.spans if span.trace_id.hex() == trace_id}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    received = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            received.paths.add(self.path)
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                received.services |= {
                    item.value.string_value for item in group.resource.attributes if item.key == "service.name"
                }
                received.spans += [span for scope in group.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        received.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield received
        listening.shutdown()
        thread.join(PATIENCE)


@pytest.fixture(scope="module")
def traced(gallery: Path, collector: Collector) -> Iterator[Server]:
    env = {
        "IMGSERVE_TRACING__ENDPOINT": collector.url,
        "IMGSERVE_TRACING__SAMPLE_RATIO": "0",  # only what callers trace
        "IMGSERVE_LOG__FORMAT": "json",
        "IMGSERVE_LOG__SLOW_RENDER": "0.1ms",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with server(gallery, env=env) as running:
        yield running


def attributes(span: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


def test_a_cold_request_is_a_tree_of_spans_across_the_process_boundary(traced: Server, collector: Collector) -> None:
    target = "/img/noise.jpg?w=63&format=webp&signature=0123456789abcdef"
    answer = traced.get(target, traceparent=SAMPLED, tracestate="a=b", authorization="Bearer 0123456789abcdef")
    spans = until(lambda: found if len(found := collector.of(TRACE)) >= 6 else dict[str, Any]())
    assert set(spans) == {"GET image", "cache", "queue", "rendering", "rendering process", "store"}
    request, rendering, process = spans["GET image"], spans["rendering"], spans["rendering process"]
    assert request.parent_span_id.hex() == CALLER
    assert process.parent_span_id == rendering.span_id
    assert {spans[name].parent_span_id for name in ("cache", "queue", "rendering", "store")} == {request.span_id}
    for span in spans.values():
        parent = next((one for one in spans.values() if one.span_id == span.parent_span_id), span)
        assert parent.start_time_unix_nano - 1e6 <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= parent.end_time_unix_nano + 1e6
    order = [spans[name].end_time_unix_nano for name in ("cache", "queue", "rendering", "store", "GET image")]
    assert order == sorted(order)
    reported = float(answer.headers["server-timing"].partition("render;dur=")[2].split(",")[0])
    assert (process.end_time_unix_nano - process.start_time_unix_nano) / 1e6 == pytest.approx(reported, abs=0.2)
    assert attributes(request) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.response.body.size": len(answer.content),
        "http.route": "image",
        "url.path": "/img/noise.jpg",
        "imgserve.outcome": "render",
        "imgserve.request_id": answer.headers["x-request-id"],
    }
    assert attributes(rendering)["transform"] == "format=webp&width=63"
    assert attributes(rendering)["image_id"] == "noise.jpg"
    assert attributes(spans["cache"]) == {"tier": "none"}
    assert "0123456789abcdef" not in str(collector.spans)
    assert (collector.paths, collector.services) == ({"/v1/traces"}, {"imgserve"})


def test_log_lines_and_exemplars_name_the_trace(traced: Server) -> None:
    trace = TRACE.replace("4bf9", "1111")
    traced.get("/img/noise.jpg?w=64&format=webp", traceparent=f"00-{trace}-{CALLER}-01")
    line = traced.wait_for(f'"trace_id":"{trace}"')
    assert json.loads(line)["message"] == "slow rendering"
    page = traced.get("/metrics", accept="application/openmetrics-text;version=1.0.0")
    assert page.headers["content-type"].startswith("application/openmetrics-text")
    families = openmetrics(page.text)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
    assert {family.name for family in families} >= {"imgserve_requests", "imgserve_request_seconds"}
    (exemplar,) = [line for line in page.text.splitlines() if f'trace_id="{trace}"' in line]
    assert exemplar.startswith("imgserve_request_seconds_bucket")
    assert 'outcome="render"' in exemplar
    assert "# {" not in traced.get("/metrics", accept="text/plain").text


@pytest.mark.parametrize(
    ("digits", "headers"),
    [("2222", {}), ("3333", {"traceparent": NOT_SAMPLED}), ("4444", {"traceparent": "00-zz-1-01"})],
)
def test_requests_that_are_not_sampled_are_not_traced(
    traced: Server, collector: Collector, digits: str, headers: dict[str, str]
) -> None:
    answers = [traced.get(f"/img/noise.jpg?w={width}", **headers) for width in (65, 66)]
    answers.append(traced.get("/healthz", traceparent=SAMPLED))
    assert [answer.status_code for answer in answers] == [200] * 3
    last = TRACE.replace("4bf9", digits)
    traced.get("/img/absent.jpg", traceparent=f"00-{last}-{CALLER}-01")
    until(lambda: collector.of(last))
    exported = {attributes(span).get("imgserve.request_id") for span in collector.spans}
    assert exported.isdisjoint(answer.headers["x-request-id"] for answer in answers)


def test_the_last_traces_are_exported_when_the_server_stops(gallery: Path, collector: Collector) -> None:
    env = {"IMGSERVE_TRACING__ENDPOINT": f"{collector.url}/custom/path", "IMGSERVE_TRACING__SAMPLE_RATIO": "1"}
    with server(gallery, env=env) as running:
        request_id = running.get("/img/absent.jpg").headers["x-request-id"]
    spans = [span for span in collector.spans if attributes(span).get("imgserve.request_id") == request_id]
    assert [attributes(span)["imgserve.outcome"] for span in spans] == ["image_not_found"]
    assert "/custom/path" in collector.paths


def test_without_the_extra_the_setting_is_an_error_that_names_it(gallery: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "opentelemetry.py"
    hidden.write_text("raise ModuleNotFoundError('opentelemetry')\n")
    settings = {"IMGSERVE_TRACING__ENDPOINT": "http://127.0.0.1:1", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-m", "imgserve", "serve", str(gallery), "--port", "0", "--data", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'imgserve[otel]'" in done.stderr
