import pytest

from benchmarks.programs import BenchmarkFailed
from benchmarks.steady import Steady, read_wrk

SAID = """Running 2s test @ http://127.0.0.1:8803/body.jpg
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.14ms    1.27ms  13.11ms   82.02%
    Req/Sec    39.74k    30.70k  119.93k    86.67%
  Latency Distribution
     50%  331.00us
     75%    1.94ms
     90%    3.13ms
     99%    4.78ms
  118781 requests in 3.01s, 3.23GB read
Requests/sec:  39507.70
Transfer/sec:      1.08GB
"""


def test_what_wrk_prints_is_read() -> None:
    assert read_wrk(SAID, 0.5) == Steady(118_781, 39_507.7, 331.0 * 1e-6, 4.78 * 1e-3, 0.5)


@pytest.mark.parametrize(
    "said",
    [
        SAID + "  Non-2xx or 3xx responses: 7\n",
        SAID + "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
        SAID.replace("99%", "98%"),
        "",
    ],
)
def test_a_run_of_wrk_with_wrong_answers_ends_the_benchmark(said: str) -> None:
    with pytest.raises(BenchmarkFailed, match="wrk met"):
        read_wrk(said, 0.5)
