"""A real Prometheus reads the metrics; alerts and dashboard use what exists."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from imgserve.errors import every_error
from imgserve.images.renditions import Outcome
from imgserve.metrics import Metrics
from imgserve.web.middleware import STATUSES
from tests.prefork import ROOT
from tests.servers import Server, server, until

RULES = ROOT / "deploy/prometheus"
DASHBOARD = json.loads((ROOT / "deploy/grafana/imgserve.json").read_text())
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
needs_prometheus = pytest.mark.skipif(
    (PROMETHEUS is None or PROMTOOL is None) and "CI" not in os.environ, reason="Prometheus is not installed"
)
_USE = re.compile(r"\b(imgserve_\w+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")
_OF_PROMETHEUS = {"job", "instance", "le"}


@pytest.fixture(scope="module")
def served(gallery: Path) -> Iterator[Server]:
    """Serve the gallery, with traffic of every kind."""
    with server(gallery) as running:
        _visit(running)
        yield running


@pytest.fixture(scope="module")
def prometheus(served: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """Run Prometheus with our configuration against the server, scraping every second; yield a client of its API."""
    place = tmp_path_factory.mktemp("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = yaml.safe_load((RULES / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [served.base_url.removeprefix("http://")]
    shutil.copy(RULES / "alerts.yml", place)
    (place / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        PROMETHEUS or "prometheus",
        f"--config.file={place / 'prometheus.yml'}",
        f"--storage.tsdb.path={place / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        (place / "log").open("wb") as log,
        subprocess.Popen(command, stderr=log, stdout=log) as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        try:
            until(lambda: _ready(client, process, place / "log"))
            until(lambda: _value(client, "count_over_time(imgserve_build_info[5m])") >= 2)
            _visit(served)
            until(lambda: _value(client, 'sum(rate(imgserve_renders_total{result="ok"}[5m]))') > 0)
            yield client
        finally:
            process.terminate()


def _visit(served: Server) -> None:
    width = 71 + int(served.figure("imgserve_renders_total"))
    for extension in ("jpg", "webp", "avif"):
        for _ in range(3):
            served.get(f"/img/shoe.jpg?width={width}&format={extension}")
    etag = served.get(f"/img/shoe.jpg?width={width}").headers["etag"]
    served.get(f"/img/shoe.jpg?width={width}", if_none_match=etag)
    for target in ("/img/absent.jpg", "/img/notes.txt", "/img/shoe.jpg?width=x", "/api/images", "/healthz", "/nothing"):
        served.get(target)


def _ready(client: httpx2.Client, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return client.get("/-/ready").status_code == 200
    except httpx2.ConnectError:
        return False


def _query(client: httpx2.Client, expression: str) -> Any:
    answer = client.get("/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", (expression, answer)
    return answer["data"]["result"]


def _value(client: httpx2.Client, expression: str) -> float:
    return float(next((one["value"][1] for one in _query(client, expression)), 0))


def dashboard_queries() -> list[str]:
    """Return the queries of the dashboard as Prometheus receives them when everything is selected."""
    panels = DASHBOARD["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    found += [annotation["expr"] for annotation in DASHBOARD["annotations"]["list"]]
    filled = {"$__rate_interval": "5m", "$job": ".*", "$instance": ".*"}
    for name, value in filled.items():
        found = [expression.replace(name, value) for expression in found]
    return found


def alert_queries() -> list[str]:
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def variable_queries() -> list[str]:
    return [item["definition"] for item in DASHBOARD["templating"]["list"] if item["type"] == "query"]


@pytest.mark.parametrize(
    "source", [dashboard_queries, alert_queries, variable_queries], ids=["dashboard", "alerts", "variables"]
)
def test_metrics_labels_and_values_in_queries_exist(served: Server, source: Any) -> None:
    declared = Metrics(CollectorRegistry())
    labels = {metric._name: set(metric._labelnames) for metric in vars(declared).values() if hasattr(metric, "_name")}
    families = {family.name: family for family in text_string_to_metric_families(served.get("/metrics").text)}
    outcomes = {error.code for error in every_error()} | set(get_args(Outcome)) | STATUSES.keys()
    used = 0
    for expression in source():
        known = set(_OF_PROMETHEUS)
        for name, matchers in _USE.findall(expression):
            if name == "up":
                continue
            used += 1
            family = re.sub(r"_(total|bucket|sum|count)$", "", name) if name not in families else name
            assert family in families, name
            assert family in labels, name
            known |= labels[family]
            values = {pair for sample in families[family].samples for pair in sample.labels.items()}
            for label, pattern in _MATCHER.findall(matchers):
                assert label in labels[family] | _OF_PROMETHEUS, (name, label)
                if label in {"kind", "outcome", "part", "reason", "route"}:
                    for value in pattern.split("|"):
                        assert (label, value) in values or value in outcomes | {"watch"}, value
        for grouping in _GROUPING.findall(expression):
            assert set(re.split(r"[,\s]+", grouping.strip())) <= known, expression
    assert used >= len(source()) - 1


def test_every_metric_is_in_the_dashboard() -> None:
    text = " ".join(dashboard_queries())
    declared = [metric._name for metric in vars(Metrics(CollectorRegistry())).values() if hasattr(metric, "_name")]
    assert [name for name in declared if not re.search(rf"\b{name}(_total|_bucket|_sum|_count)?\b", text)] == []


def test_panels_of_the_dashboard_have_titles_and_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (column, row)
        for place in places
        for column in range(place["x"], place["x"] + place["w"])
        for row in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert {column for column, _ in cells} == set(range(24))
    assert all(panel["title"] for panel in DASHBOARD["panels"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


@needs_prometheus
@pytest.mark.parametrize("arguments", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml"),
                                       ("check", "config", "prometheus.yml")])  # fmt: skip
def test_promtool_accepts_configuration_and_alerts(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([PROMTOOL or "promtool", *arguments], cwd=RULES, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_happens_what_it_means_and_what_to_do() -> None:
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    tested = (RULES / "alerts_test.yml").read_text()
    for rule in (rule for group in groups for rule in group["rules"]):
        assert set(rule["annotations"]) == {"summary", "description", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert f'alertname="{rule["alert"]}"' in tested


@needs_prometheus
def test_prometheus_evaluates_the_alerts_and_none_fires_on_a_healthy_server(prometheus: httpx2.Client) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    evaluated = until(rules)
    assert [(rule["name"], rule.get("lastError")) for rule in evaluated if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in evaluated if rule["state"] == "firing"] == []
    assert len(evaluated) == len(alert_queries())


@needs_prometheus
def test_each_query_of_the_dashboard_returns_and_most_have_data(prometheus: httpx2.Client) -> None:
    results = {expression: _query(prometheus, expression) for expression in dashboard_queries()}
    empty = [expression for expression, result in results.items() if not result]
    # Nothing failed, was ingested, purged in a cache in front or requested of a site here.
    rare = (
        "site_requests",
        "cdn_purges",
        "access_failures",
        "ingest",
        "inspection",
        "watch_scan",
        "mezzanine",
        "demand",
        "[1m]) > 0",
        'result!="ok"',
    )
    assert [expression for expression in empty if not any(word in expression for word in rare)] == []
