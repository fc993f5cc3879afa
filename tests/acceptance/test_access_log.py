"""The access log on standard output, with default settings: whole lines from several processes, and little is lost."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.pictures import encoded, noise
from tests.servers import Server, server, settled, until

LINE = re.compile(r'time="[^"]{24}" method="GET" path="([^"]*)" status=\d+ .*request_id="[0-9a-f]{16}"')


class Reader:
    """Reads the standard output of a server in a thread."""

    def __init__(self, served: Server) -> None:
        self.lines = list[str]()
        assert served.process.stdout is not None
        self._stdout = stdout = served.process.stdout
        self._thread = threading.Thread(target=lambda: self.lines.extend(stdout))
        self._thread.start()

    def finish(self) -> list[str]:
        """Wait until every writer is gone; return the lines."""
        self._thread.join()
        self._stdout.close()
        return [line.removesuffix("\n") for line in self.lines]


def originals(folder: Path) -> Path:
    settled(folder / "a.jpg", encoded(noise(60, 40), "jpg"))
    return folder


def test_processes_that_share_a_pipe_write_whole_lines_and_all_of_them_by_the_stop(tmp_path: Path) -> None:
    env = {"IMGSERVE_LOG__ACCESS": "stdout"}
    with server(originals(tmp_path), "--workers", 2, env=env, stdout=True) as served:
        reader = Reader(served)

        def ask(number: int) -> None:
            served.get(
                f"/img/a.jpg?width=20&utm={number:05}{'x' * (number * 7 % 1500)}", user_agent="y" * (number * 7 % 2000)
            )

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(600)))
        served.process.terminate()
        lines = reader.finish()
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), [line for line in lines if not LINE.fullmatch(line)][:3]
    paths = [match[1] for match in found if match]
    assert sorted(re.findall(r"utm=(\d{5})", "\n".join(paths))) == [f"{number:05}" for number in range(600)]


def test_a_killed_server_has_written_what_is_older_than_a_moment(tmp_path: Path) -> None:
    env = {"IMGSERVE_LOG__ACCESS": "stdout"}
    with pytest.raises(AssertionError, match="listening"), server(originals(tmp_path), env=env, stdout=True) as served:
        answered, written = ask_and_kill(served)
    killed = max(answered.values())
    # The log is written every 0.05 s; a busy machine may take longer to let the thread run.
    old = [request_id for request_id, at in answered.items() if at < killed - 0.5]
    assert len(old) > 10
    assert [request_id for request_id in old if request_id not in written] == []


def ask_and_kill(served: Server) -> tuple[dict[str, float], str]:
    """Return the ids of requests, with the times of their responses, and what was written before the kill."""
    reader, answered, end = Reader(served), dict[str, float](), time.monotonic() + 1.5
    while time.monotonic() < end:
        response = served.get("/img/a.jpg?width=20")
        answered[response.headers["x-request-id"]] = time.monotonic()
    served.process.kill()
    return answered, "\n".join(reader.finish())


def test_lines_that_a_full_disk_refuses_are_counted(tmp_path: Path) -> None:
    with server(originals(tmp_path), env={"IMGSERVE_LOG__ACCESS": "/dev/full"}) as served:
        for _ in range(20):
            assert served.get("/img/a.jpg?width=20").status_code == 200
        until(lambda: served.figure("imgserve_access_log_dropped_total") >= 20)
    assert sum("cannot write the access log" in line for line in served.lines) == 1
