"""What the server reports about hot requests: metrics, access log, ids, and headers that settings change."""

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.pictures import encoded, noise
from tests.prefork import PATIENCE
from tests.raw_http import RawAnswer, raw, talk
from tests.servers import Server, server, settled, until
from tests.threads import ThreadServer, thread_server

TARGET = "/img/noise.jpg?width=100"
Settings = Mapping[str, Mapping[str, object]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    settled(folder / "noise.jpg", encoded(noise(), "jpg"))
    return folder


@contextlib.contextmanager
def both(folder: Path, place: Path, settings: Settings) -> Iterator[list[ThreadServer]]:
    """Serve with the hot path and without."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                thread_server(
                    folder,
                    place / name,
                    hot_path=name == "hot",
                    settings={**settings, "originals": {"recheck": 600}, "log": {**log(settings, place / name)}},
                )
            )
            for name in ("hot", "slow")
        ]


def log(settings: Settings, cache: Path) -> Mapping[str, object]:
    """Configure a log for each server."""
    section = settings.get("log", {"access": "off"})
    return section if section["access"] == "off" else {**section, "access": str(cache.with_suffix(".log"))}


def ask(served: ThreadServer, *fields: str, method: str = "GET", target: str = TARGET) -> RawAnswer:
    with contextlib.closing(served.connect()) as connection:
        [answer] = talk(connection, [raw("\n".join([f"{method} {target} HTTP/1.1", "Host: a", *fields]))])
    return answer


def ask_variously(served: ThreadServer) -> None:
    """Request eleven times, seven of them for what can be answered hot."""
    tag = ask(served).header("etag")
    for _ in range(3):
        ask(served, "X-Forwarded-For: 192.0.2.7", "Referer: https://b/?key=x", "User-Agent: é")
    ask(served, method="HEAD")
    ask(served, f"If-None-Match: {tag}")
    ask(served, f"If-None-Match: {tag}", method="HEAD")
    ask(served, "X-Forwarded-For: 192.0.2.8, 127.0.0.1")
    ask(served, "Range: bytes=0-9")
    ask(served, target="/img/absent.jpg")
    ask(served, f"If-None-Match: {tag}, {tag}")


def figures(served: ThreadServer) -> dict[tuple[str, ...], float]:
    with contextlib.closing(served.connect()) as connection:
        [answer] = talk(connection, [raw("GET /metrics HTTP/1.1\nHost: localhost")])
    counted = ("imgserve_requests_total", "imgserve_response_bytes_total", "imgserve_request_seconds_count")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
        if sample.name in counted and sample.labels.get("route") != "other" and sample.labels.get("outcome") != "ok"
    }


def test_every_hot_request_is_counted_as_the_ordinary_path_counts(folder: Path, tmp_path: Path) -> None:
    with both(folder, tmp_path, {}) as (hot, slow):
        for served in (hot, slow):
            ask_variously(served)
        assert (hot.hot.responses, slow.hot.responses) == (7, 0)
        one, other = figures(hot), figures(slow)
        assert one == other
        assert one["imgserve_requests_total", "200", "image", "memory"] == 5
        assert hot.server.server_state.total_requests == slow.server.server_state.total_requests


def test_the_time_of_hot_requests_is_measured(folder: Path, tmp_path: Path) -> None:
    with both(folder, tmp_path, {}) as (hot, _):
        ask_variously(hot)
        registry = hot.app.state.parts.metrics.registry
        figures(hot)
        seconds = registry.get_sample_value("imgserve_request_seconds_sum", {"outcome": "not_modified"})
        lowest = {"outcome": "not_modified", "le": "0.001"}
        assert 0 < seconds < 1
        assert registry.get_sample_value("imgserve_request_seconds_bucket", lowest) <= 3


@pytest.mark.parametrize("style", ["json", "text"])
def test_the_access_log_has_the_line_that_the_ordinary_path_writes(folder: Path, tmp_path: Path, style: str) -> None:
    with both(folder, tmp_path, {"log": {"access": "file", "access_style": style}}) as (hot, slow):
        for served in (hot, slow):
            ask_variously(served)
        assert hot.hot.responses == 7
    one, other = ([lasting(line, style) for line in lines_of(tmp_path / f"{name}.log")] for name in ("hot", "slow"))
    assert one == other
    assert len(one) == 11


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def lasting(line: str, style: str) -> dict[str, object]:
    """Read a line but for what differs each time; in the text style a value with spaces is not used here."""
    fields = json.loads(line) if style == "json" else dict(part.split("=", 1) for part in line.split(" ", 11))
    return {name: value for name, value in fields.items() if name not in {"time", "duration_ms", "request_id"}}


def test_every_request_has_an_id_of_its_own_on_either_path(folder: Path, tmp_path: Path) -> None:
    settings: Settings = {"log": {"access": "file", "access_style": "json"}}
    with both(folder, tmp_path, settings) as (hot, _):
        targets = (TARGET, TARGET, "/robots.txt", TARGET, "/img/absent.jpg", TARGET)
        ids = [ask(hot, target=target).request_id for target in targets]
        until(lambda: len(lines_of(tmp_path / "hot.log")) == 6)
    assert len(set(ids)) == 6
    assert sorted(ids) == sorted(json.loads(line)["request_id"] for line in lines_of(tmp_path / "hot.log"))


def test_where_cors_depends_on_the_origin_only_requests_without_one_are_hot(folder: Path, tmp_path: Path) -> None:
    settings: Settings = {"http": {"cors_origins": ["https://shop.example"], "timing_header": False, "max_age": 5}}
    cases: list[list[str]] = [[], ["Origin: https://shop.example"], ["Origin: https://other.example"], []]
    with both(folder, tmp_path, settings) as (hot, slow):
        answers = [[ask(served, *fields) for _ in range(2) for fields in cases] for served in (hot, slow)]
        assert answers[0][1:] == answers[1][1:]
        assert hot.hot.responses == 3
        assert ask(hot).header("vary") == "Origin"
        assert not ask(hot).header("cache-status")


@pytest.fixture(scope="module")
def many(folder: Path) -> Iterator[Server]:
    with server(folder, "--workers", "2", env={"IMGSERVE_ORIGINALS__RECHECK": "60"}) as served:
        yield served


def test_the_figures_of_several_processes_add_up(many: Server) -> None:
    def counted() -> float:
        return many.figure("imgserve_requests_total", route="image")

    for _ in range(10):
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(socket.create_connection(many.address, PATIENCE)) for _ in range(4)]
            for connection in connections:
                talk(connection, [raw(f"GET {TARGET} HTTP/1.1\nHost: a")] * 10)
    until(lambda: counted() == 400)
    assert many.figure("imgserve_request_seconds_count", outcome="memory") >= 390
