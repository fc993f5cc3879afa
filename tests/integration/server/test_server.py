"""The life and end of server processes: real processes, real signals."""

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import imgserve
from tests.prefork import PATIENCE, PreforkedProcess
from tests.servers import command_of, until

SCRIPT = Path(__file__).with_name("serve_app.py")


class Served:
    """A running server, and what it has written."""

    def __init__(self, process: PreforkedProcess) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def wait_for(self, text: str, times: int = 1) -> str:
        return until(lambda: next(iter([line for line in self.lines if text in line][times - 1 :]), ""))

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.wait_for("listening on http://").strip().partition("http://")[2].rpartition(":")
        return host.strip("[]"), int(port)

    def get(self, path: str = "/", **headers: str) -> Any:
        return json.loads(self.get_text(path, **headers))

    def get_text(self, path: str = "/", **headers: str) -> str:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        connection.request("GET", path, headers=headers)
        body = connection.getresponse().read().decode()
        connection.close()
        return body

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status


Start = Callable[..., Served]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Served] = []

    def begin(*, fail: str = "", **options: object) -> Served:
        environment = os.environ | {
            "PYTHONPATH": str(Path(imgserve.__file__).parents[1]),
            "TEST_FAIL": fail,
            "TMPDIR": str(tmp_path),
        }
        command = [str(SCRIPT), json.dumps({"port": 0, "grace": 5, **options})]
        started.append(Served(PreforkedProcess(command, env=environment)))
        return started[-1]

    yield begin
    for served in started:
        if served.process.poll() is None:
            children = psutil.Process(served.process.pid).children(recursive=True)
            for child in children:
                child.kill()
            served.process.kill()
        served.process.wait(PATIENCE)
        served.process.close()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_running_request_finish_and_the_exit_status_is_0(
    start: Start, workers: int, number: int
) -> None:
    served = start(workers=workers)
    answers: list[Any] = []
    client = threading.Thread(target=lambda: answers.append(served.get("/sleep/0.8")))
    client.start()
    served.wait_for("sleeping")
    assert served.end(number) == 0
    client.join()
    assert answers[0]["path"] == "/sleep/0.8"
    assert sum("closed in good order" in line for line in served.lines) == workers
    assert sum("listening on" in line for line in served.lines) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_longer_than_the_grace_time_is_cancelled(start: Start, workers: int) -> None:
    served = start(workers=workers, grace=0.3)
    client = socket.create_connection(served.address)
    client.sendall(b"GET /sleep/600 HTTP/1.1\r\nHost: a\r\n\r\n")
    served.wait_for("sleeping")
    assert served.end() == 0
    client.close()


def test_no_connection_is_accepted_after_the_signal(start: Start) -> None:
    served = start()
    address = served.address
    busy = socket.create_connection(address)
    busy.sendall(b"GET /sleep/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    served.wait_for("sleeping")
    served.process.send_signal(signal.SIGTERM)
    until(lambda: refused(address))
    assert b"200 OK" in busy.recv(1000)
    busy.close()
    assert served.process.wait(PATIENCE) == 0


def refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_killed_worker_is_replaced(start: Start) -> None:
    served = start(workers=2)
    victim = served.get()["pid"]
    os.kill(victim, signal.SIGKILL)
    served.wait_for(f"worker {victim} ended with status -9")
    assert served.get()["pid"] != victim
    supervisor = psutil.Process(served.process.pid)
    until(lambda: len([child for child in supervisor.children() if "spawn_main" in command_of(child)]) == 2)
    assert served.end() == 0


def test_workers_do_not_outlive_a_killed_supervisor(start: Start) -> None:
    served = start(workers=2)
    worker = psutil.Process(served.get()["pid"])
    served.process.kill()
    served.wait_for("closed in good order", times=2)
    worker.wait(PATIENCE)


def test_metrics_are_summed_over_workers_in_a_folder_that_is_removed(start: Start, tmp_path: Path) -> None:
    served = start(workers=2)
    seen = {served.get()["pid"] for _ in range(20)}
    assert "requests_total 21.0" in served.get_text("/metrics")
    assert seen
    assert list(tmp_path.glob("imgserve-metrics-*/*.db"))
    assert served.end() == 0
    assert not list(tmp_path.glob("imgserve-metrics-*"))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("fail", "message"), [("lifespan", "the cache folder is on fire"), ("factory", "no such folder")]
)
def test_a_start_that_fails_gives_its_message_and_exit_status_1(
    start: Start, workers: int, fail: str, message: str
) -> None:
    served = start(workers=workers, fail=fail)
    assert served.process.wait(PATIENCE) == 1
    served.wait_for(message)
    assert not any("listening on" in line for line in served.lines)


def test_an_address_in_use_is_one_clear_line_and_exit_status_1(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served = start(port=port)
        assert served.process.wait(PATIENCE) == 1
    served.wait_for(f"cannot listen on 127.0.0.1:{port}: Address already in use")
    assert len(served.lines) == 1


def test_forwarded_addresses_and_request_ids_are_believed_of_trusted_proxies_only(start: Start) -> None:
    trusting, wary = start(forwarded_allow_ips=["127.0.0.1"]), start()
    forwarded = {"X-Forwarded-For": "192.0.2.7", "X-Request-Id": "of-the-proxy"}
    assert trusting.get("/", **forwarded)["request_id"] == "of-the-proxy"
    assert wary.get("/", **forwarded)["request_id"] is None
    assert trusting.get("/", **forwarded)["client"][0] == "192.0.2.7"
    assert wary.get("/", **forwarded)["client"][0] == "127.0.0.1"


def test_answers_report_the_date_and_not_the_server(start: Start) -> None:
    connection = http.client.HTTPConnection(*start().address, timeout=PATIENCE)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.headers["date"]
    assert "server" not in answer.headers
    answer.read()
    connection.close()
