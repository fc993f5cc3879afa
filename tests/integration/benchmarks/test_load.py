import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.fetch import check_picture, fetch
from benchmarks.load import drive, repeated, request
from benchmarks.programs import BenchmarkFailed
from benchmarks.servers import bare_app
from benchmarks.steady import Generator, RepeatedRequest
from tests.pictures import encoded, quarters


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("load")
    picture = folder / "body"
    picture.write_bytes(encoded(quarters(), "jpg"))
    length = ["content-length", str(picture.stat().st_size)]
    answers = {
        "/picture": {"status": 200, "headers": [["Content-Type", "image/jpeg"], length], "body": str(picture)},
        "/same": {"status": 304, "headers": [["etag", '"a"']], "body": None},
    }
    with bare_app(answers, folder / "bare") as program:
        yield program.address


@pytest.mark.parametrize("persistent", [True, False])
def test_every_request_has_a_whole_response(address: str, persistent: bool) -> None:
    load = drive(address, [request("/picture")] * 20, 3, persistent=persistent).expect(200)
    assert len(load.latencies) == 20
    assert load.bytes == 20 * len(fetch(address, "/picture").body)


def test_answers_without_a_body_follow_each_other(address: str) -> None:
    assert len(drive(address, [request("/same")] * 5, 1).expect(304).latencies) == 5


def test_the_same_request_is_repeated_for_so_long(address: str) -> None:
    load = drive(address, repeated(request("/picture"), 0.05), 2)
    assert load.seconds >= 0.05


def test_another_status_ends_the_benchmark(address: str) -> None:
    with pytest.raises(BenchmarkFailed, match="expected 304"):
        drive(address, [request("/picture")], 1).expect(304)
    with pytest.raises(BenchmarkFailed, match="expected 200"):
        Generator(None).run(RepeatedRequest(address, "/same"), 1, 0.05)


def test_a_server_that_is_not_there_ends_the_benchmark() -> None:
    with pytest.raises(BenchmarkFailed, match="http"):
        drive("http://127.0.0.1:1", [request("/")], 1)


def test_our_own_generator_reports_rate_and_latency(address: str) -> None:
    done = Generator(None).run(RepeatedRequest(address, "/same", 304, {"if_none_match": '"a"'}), 2, 0.05)
    assert done.answers > 0
    assert 0 < done.p50 <= done.p99


def test_a_picture_of_another_width_ends_the_benchmark(address: str) -> None:
    check_picture(address, "/picture", 400)
    with pytest.raises(BenchmarkFailed, match="200 pixels wide"):
        check_picture(address, "/picture", 200)


def test_the_bare_app_needs_no_framework() -> None:
    code = "import sys, benchmarks.bare_app; sys.exit('starlette' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
