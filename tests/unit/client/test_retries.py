"""When a call is sent again, measured by a clock that the test sets."""

import httpx2
import pytest

from imgserve.client.api import Retries, ServerUnreachable
from imgserve.client.call import Call, json_reader
from imgserve.client.transport import Attempts

CALL = Call(method="GET", path="/api/stats", read=json_reader(dict))


class Clock:
    """Advances only when a test sets it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _busy(retry_after: str | None = None, status: int = 503) -> httpx2.Response:
    return httpx2.Response(status, headers={} if retry_after is None else {"retry-after": retry_after})


def _waits(attempts: Attempts, clock: Clock, response: httpx2.Response) -> list[float]:
    waits = []
    while (wait := attempts.after_response(response)) is not None:
        waits.append(wait)
        clock.now += wait
    return waits


def test_waits_grow_up_to_their_bound_and_end_at_the_limit() -> None:
    clock = Clock()
    attempts = Attempts(Retries(seconds=10, first=0.5, most=2, spread=0), CALL, clock)
    assert _waits(attempts, clock, _busy()) == [0.5, 1, 2, 2, 2, 2]


def test_the_server_says_how_long_to_wait() -> None:
    clock = Clock()
    attempts = Attempts(Retries(seconds=10, first=0.5, spread=0), CALL, clock)
    assert _waits(attempts, clock, _busy("4", status=429)) == [4, 4]


def test_clients_do_not_come_back_at_once() -> None:
    waits = {Attempts(Retries(first=1, spread=0.5), CALL).after_response(_busy()) for _ in range(50)}
    assert len(waits) > 10
    assert all(wait is not None and 1 <= wait <= 1.5 for wait in waits)


@pytest.mark.parametrize("status", [200, 400, 401, 404, 422, 500, 502, 507])
def test_other_answers_are_final(status: int) -> None:
    assert Attempts(Retries(), CALL).after_response(_busy("1", status)) is None


def test_a_permanent_failure_is_raised_at_once() -> None:
    attempts = Attempts(Retries(), CALL)
    with pytest.raises(ServerUnreachable):
        attempts.after_failure(ServerUnreachable(), permanent=True)
    assert attempts.after_failure(ServerUnreachable(), permanent=False) > 0


def test_zero_seconds_are_a_single_try() -> None:
    assert Attempts(Retries(seconds=0), CALL).after_response(_busy("0")) is None
