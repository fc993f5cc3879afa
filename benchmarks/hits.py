"""Memory hits and revalidations of a running server, against a bare app that sends the same bytes."""

import http.client
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import programs
from benchmarks.figures import Figures, ratios
from benchmarks.load import drive, repeated, request

CONNECTIONS = 32
BODY_BYTES = 30_000
_WIDTHS = range(240, 1300, 80)
_SECONDS = 2.0
_ONE_CLIENT_SECONDS = 3.0


@dataclass(frozen=True)
class Answer:
    """One answer, whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return dict(self.headers)[name]


def fetch(address: str, path: str, **headers: str) -> Answer:
    """Ask once, over a connection of its own."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Answer(
            response.status, [(name.lower(), value) for name, value in response.getheaders()], response.read()
        )
    finally:
        connection.close()


def measure(server: programs.Program, photograph: str, folder: Path, rounds: int, figures: Figures) -> None:
    """Alternate between our server and the floors, round after round."""
    address = server.address
    path, hit = _near_30_kilobytes(address, photograph)
    tag = hit.header("etag")
    unmodified = fetch(address, path, if_none_match=tag)
    with programs.bare_app(_floors(hit, unmodified, folder), folder) as bare:
        kinds = {
            "hit": (server, request(path), 200),
            "bare, same headers": (bare, request("/same"), 200),
            "bare, two headers": (bare, request("/few"), 200),
            "304": (server, request(path, if_none_match=tag), 304),
            "bare 304": (bare, request("/unmodified"), 304),
        }
        rates: dict[str, list[float]] = {kind: [] for kind in kinds}
        costs: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind, (program, sent, status) in kinds.items():
                before = program.processor_seconds()
                load = drive(program.address, repeated(sent, _SECONDS), CONNECTIONS).expect(status)
                rates[kind].append(load.rate)
                costs[kind].append((program.processor_seconds() - before) / len(load.latencies) * 1e6)
    _report(rates, costs, len(hit.body), figures)
    one = drive(address, repeated(request(path), _ONE_CLIENT_SECONDS), 1).expect(200)
    figures.add("hit latency, one client, p50", "ms", one.percentile(50) * 1000, wanted="<= 25")
    figures.add("hit latency, one client, p99", "ms", one.percentile(99) * 1000, wanted="<= 25")


def _report(rates: dict[str, list[float]], costs: dict[str, list[float]], size: int, figures: Figures) -> None:
    for kind, values in rates.items():
        size_told = "" if "304" in kind else f", {size / 1000:.1f} KB"
        figures.add(f"{kind}{size_told}, {CONNECTIONS} connections", "requests/s", *values)
    hits, unmodified = rates["hit"], rates["304"]
    same, few, bare_unmodified = (rates[kind] for kind in ("bare, same headers", "bare, two headers", "bare 304"))
    figures.add("hit to bare app, same headers", "ratio", *ratios(hits, same), wanted=">= 0.4")
    figures.add("hit to bare app, content-type and -length only", "ratio", *ratios(hits, few))
    figures.add("304 to bare app that answers 304", "ratio", *ratios(unmodified, bare_unmodified))
    for kind in ("hit", "bare, same headers", "304", "bare 304"):
        figures.add(f"{kind}, processor time of the server", "us", *costs[kind])
    figures.add(
        "the same as a ratio: bare, same headers, to hit", "ratio", *ratios(costs["bare, same headers"], costs["hit"])
    )


def _near_30_kilobytes(address: str, photograph: str) -> tuple[str, Answer]:
    """Find a width whose JPEG has about the wanted size; warm, so that it is a hit."""
    paths = [f"/img/{photograph}?width={width}&format=jpg" for width in _WIDTHS]
    path = min(paths, key=lambda path: abs(len(fetch(address, path).body) - BODY_BYTES))
    return path, fetch(address, path)


def _floors(hit: Answer, unmodified: Answer, folder: Path) -> dict[str, object]:
    """Describe the bare answers; uvicorn itself adds the date."""
    body = folder / "body"
    body.write_bytes(hit.body)
    few = [(name, hit.header(name)) for name in ("content-type", "content-length")]

    def undated(answer: Answer) -> list[tuple[str, str]]:
        return [header for header in answer.headers if header[0] != "date"]

    return {
        "/same": {"status": 200, "headers": undated(hit), "body": str(body)},
        "/few": {"status": 200, "headers": few, "body": str(body)},
        "/unmodified": {"status": 304, "headers": undated(unmodified), "body": None},
    }
