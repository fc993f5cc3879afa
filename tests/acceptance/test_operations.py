"""What operators and their machines see: health, figures, access log, the welcome page."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.prefork import PATIENCE
from tests.servers import Server, server, until

PROMTOOL = shutil.which("promtool")


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "access.log"


@pytest.fixture(scope="module")
def counted(gallery: Path, logged: Path) -> Iterator[Server]:
    """Serve by two server processes that write one access log."""
    settings = {"IMGSERVE_LOG__ACCESS": str(logged), "IMGSERVE_LOG__ACCESS_STYLE": "json"}
    with server(gallery, "--workers", "2", env=settings) as served:
        yield served


def test_a_server_is_alive_and_ready(site: Server) -> None:
    alive, ready = site.get("/healthz"), site.get("/readyz")
    assert (alive.status_code, alive.text, alive.headers["cache-control"]) == (200, "ok\n", "no-store")
    assert (ready.status_code, ready.headers["cache-control"]) == (200, "no-store")
    parts = dict.fromkeys(("originals", "rendering", "cache", "catalog", "api"), "ok")
    assert ready.json() == {"status": "ok", "parts": parts}


def test_metrics_are_what_prometheus_reads(site: Server) -> None:
    site.get("/img/shoe.jpg?width=31")
    answer = site.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    wanted = [
        "requests",
        "request_seconds",
        "response_bytes",
        "renders",
        "render_seconds",
        "render_wait_seconds",
        "rendering",
        "render_queue",
        "coalesced",
        "cache_hits",
        "cache_misses",
        "cache_bytes",
        "cache_entries",
        "cache_limit_bytes",
        "memory_bytes",
    ]
    assert {f"imgserve_{name}" for name in wanted} <= families.keys()
    assert all(family.documentation for name, family in families.items() if name.startswith("imgserve_"))


@pytest.mark.parametrize("kind", ["site", "counted"])
def test_every_request_is_counted_once_by_status_and_outcome(kind: str, request: pytest.FixtureRequest) -> None:
    served: Server = request.getfixturevalue(kind)

    def figures() -> dict[str, float]:
        count = served.figure
        return {
            "ok": count("imgserve_requests_total", route="image", status="200"),
            "missing": count("imgserve_requests_total", status="404", outcome="image_not_found"),
            "fresh": count("imgserve_requests_total", status="304", outcome="not_modified"),
            "parts": count("imgserve_requests_total", route="image", status="206"),
            "mistaken": count("imgserve_requests_total", status="400", outcome="bad_transform"),
            "renders": count("imgserve_renders_total", format="jpg", result="ok"),
            "bytes": count("imgserve_response_bytes_total", route="image"),
            "refused": count("imgserve_rejected_total", reason="bad_transform"),
            "timed": count("imgserve_request_seconds_count", outcome="not_modified"),
            "coalesced": count("imgserve_coalesced_total"),
        }

    target, before = "/img/shoe.jpg?width=37", figures()
    first = served.get(target)
    answers = [
        first,
        served.get(target),
        served.get(target, range="bytes=0-9"),
        served.get(target, if_none_match=first.headers["etag"]),
        served.ask("HEAD", target),
        served.get("/img/absent.jpg"),
        served.get("/img/shoe.jpg?width=x"),
    ]
    after = figures()
    assert {name: after[name] - before[name] for name in after} == {
        "ok": 3,
        "missing": 1,
        "fresh": 1,
        "parts": 1,
        "mistaken": 1,
        "renders": 1,
        "bytes": sum(len(answer.content) for answer in answers),
        "refused": 1,
        "timed": 1,
        "coalesced": 0,
    }


@pytest.mark.skipif(PROMTOOL is None and "CI" not in os.environ, reason="promtool of Prometheus is not installed")
@pytest.mark.parametrize("kind", ["site", "counted"])
def test_promtool_finds_nothing_to_improve_in_the_metrics(kind: str, request: pytest.FixtureRequest) -> None:
    served: Server = request.getfixturevalue(kind)
    for target in ("/img/shoe.jpg?width=33", "/img/notes.txt", "/img/shoe.jpg?width=x", "/api/images", "/healthz"):
        served.get(target)
    done = subprocess.run(
        [PROMTOOL or "promtool", "check", "metrics"],
        input=served.get("/metrics").text,
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("kind", ["site", "counted"])
def test_bytes_saved_are_those_of_originals_less_those_of_whole_pictures(
    kind: str, request: pytest.FixtureRequest, gallery: Path
) -> None:
    served: Server = request.getfixturevalue(kind)

    def figures() -> list[float]:
        names = ("imgserve_picture_bytes_total", "imgserve_picture_original_bytes_total")
        return [served.figure(name, format="webp") for name in names]

    before, target = figures(), "/img/noise.jpg?width=61&format=webp"
    answers = [served.get(target) for _ in range(4)]
    for headers in ({"range": "bytes=0-9"}, {"if_none_match": answers[0].headers["etag"]}):
        assert served.get(target, **headers).status_code in {206, 304}
    served.ask("HEAD", target)
    sent, original = (after - earlier for after, earlier in zip(figures(), before, strict=True))
    assert sent == sum(len(answer.content) for answer in answers)
    assert original == 4 * (gallery / "noise.jpg").stat().st_size


def test_counters_continue_when_a_server_process_is_replaced(gallery: Path) -> None:
    with server(gallery, "--workers", "2") as served:
        for _ in range(20):
            with httpx2.Client() as client:
                client.get(f"{served.base_url}/img/shoe.jpg?width=62")
        counted, started = (served.figure(name) for name in ("imgserve_requests_total", "imgserve_start_time_seconds"))
        workers = [one for one in psutil.Process(served.process.pid).children() if len(one.children()) > 0]
        workers[0].kill()
        served.wait_for("replacing it")
        served.client.close()
        with httpx2.Client(timeout=PATIENCE) as served.client:
            until(lambda: served.figure("imgserve_start_time_seconds") > started)
            until(lambda: served.figure("imgserve_processes", kind="server") == 2)
            assert served.figure("imgserve_requests_total") > counted
            assert served.figure("imgserve_render_slots") == 2


def test_a_304_costs_no_render(site: Server) -> None:
    etag = site.get("/img/shoe.jpg?width=41").headers["etag"]
    before = site.figure("imgserve_renders_total")
    assert site.get("/img/shoe.jpg?width=41", if_none_match=etag).status_code == 304
    assert site.get("/img/shoe.jpg?width=43", if_none_match=f'"x", {etag}').status_code == 200
    assert site.figure("imgserve_renders_total") == before + 1


def test_each_tier_counts_its_hits(site: Server) -> None:
    before = {tier: site.figure("imgserve_cache_hits_total", tier=tier) for tier in ("memory", "disk")}
    for _ in range(5):
        site.get("/img/shoe.jpg?width=47")
    until(lambda: site.figure("imgserve_cache_hits_total", tier="memory") >= before["memory"] + 4)
    assert site.figure("imgserve_cache_hits_total", tier="disk") == before["disk"]
    for tier in ("memory", "disk"):
        assert site.figure("imgserve_cache_bytes", tier=tier) > 0
        assert site.figure("imgserve_cache_entries", tier=tier) > 0
    assert site.figure("imgserve_memory_bytes", kind="server") > 1e6
    assert site.figure("imgserve_memory_bytes", kind="render") > 1e6


def test_a_shared_disk_tier_is_counted_once(counted: Server) -> None:
    counted.get("/img/shoe.jpg?width=53")
    until(lambda: counted.figure("imgserve_cache_entries", tier="disk"))
    assert counted.figure("imgserve_cache_limit_bytes", tier="disk") == 10e9
    assert counted.figure("imgserve_cache_limit_bytes", tier="memory") == 2 * 256e6


def test_metrics_are_for_this_machine_and_a_trusted_proxy_reports_who_requests(site: Server) -> None:
    assert site.get("/metrics").status_code == 200
    forwarded = site.get("/metrics", x_forwarded_for="192.0.2.7")
    assert (forwarded.status_code, forwarded.json()["code"]) == (404, "not_found")


def test_settings_open_metrics_hide_timings_and_write_the_access_log_as_text(gallery: Path, tmp_path: Path) -> None:
    config, log = tmp_path / "config.yaml", tmp_path / "access.log"
    config.write_text(
        "metrics: {open_to: everyone}\n"
        "http: {timing_header: false, max_age: 5m, immutable: true}\n"
        "log: {access_style: text}\n"
    )
    with server(gallery, "--config", config, env={"IMGSERVE_LOG__ACCESS": str(log)}) as served:
        answer = served.get("/img/shoe.jpg?width=20")
        assert served.get("/metrics", x_forwarded_for="192.0.2.7").status_code == 200
    assert not {"server-timing", "cache-status"} & set(answer.headers)
    assert answer.headers["cache-control"].startswith("max-age=300")
    assert answer.headers["cache-control"].endswith("immutable")
    lines = log.read_text().splitlines()
    assert len(lines) == 2
    assert 'method="GET" path="/img/shoe.jpg?width=20" status=200' in lines[0]
    assert 'outcome="render"' in lines[0]


def test_each_request_is_a_line_of_json_in_the_access_log(counted: Server, logged: Path) -> None:
    answer = counted.get("/img/shoe.jpg?width=59", referer="https://shop.example/a", user_agent='mine "1.0"')
    missing = counted.get("/img/absent.jpg?signature=secret")

    def lines() -> dict[str, dict[str, object]]:
        entries = map(json.loads, logged.read_text().splitlines())
        return {entry["request_id"]: entry for entry in entries}

    wanted = {answer.headers["x-request-id"], missing.headers["x-request-id"]}
    until(lambda: wanted <= lines().keys())
    entry, absent = lines()[answer.headers["x-request-id"]], lines()[missing.headers["x-request-id"]]
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/img/shoe.jpg?width=59", 200)
    assert (entry["bytes"], entry["outcome"], entry["remote"]) == (len(answer.content), "render", "127.0.0.1")
    assert (entry["referrer"], entry["user_agent"]) == ("https://shop.example/a", 'mine "1.0"')
    assert isinstance(entry["duration_ms"], float)
    assert (absent["status"], absent["outcome"], absent["path"]) == (
        404,
        "image_not_found",
        "/img/absent.jpg?signature=***",
    )


def test_the_welcome_page_shows_pictures_of_this_server(site: Server) -> None:
    answer = site.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    shown = [part.partition('"')[0].replace("&amp;", "&") for part in answer.text.split('<img src="')[1:]]
    linked = [part.partition('"')[0].replace("&amp;", "&") for part in answer.text.split(' href="/')[1:]]
    assert len(shown) == 3
    assert all(address.startswith("/img/") for address in shown)
    for address in (*shown, *(f"/{path}" for path in linked)):
        assert site.client.get(site.base_url + address, follow_redirects=True).status_code == 200, address


@pytest.mark.parametrize(
    ("target", "media_type"),
    [
        ("/favicon.ico", "image/svg+xml"),
        ("/robots.txt", "text/plain; charset=utf-8"),
        ("/static/imgserve.css", "text/css; charset=utf-8"),
        ("/static/favicon.svg", "image/svg+xml"),
    ],
)
def test_the_few_files_of_the_server_are_served_with_their_types(site: Server, target: str, media_type: str) -> None:
    answer = site.get(target)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_to_the_process_group_is_an_ordinary_stop(gallery: Path, workers: int) -> None:
    with server(gallery, "--workers", workers) as served:
        assert served.get("/img/shoe.jpg?width=58").status_code == 200
        group = [psutil.Process(served.process.pid), *psutil.Process(served.process.pid).children(recursive=True)]
        for process in group:
            process.terminate()
        served.process.wait(PATIENCE)
    assert [line for line in served.lines if "[warning" in line or "[error" in line] == []
