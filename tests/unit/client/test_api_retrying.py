"""When a call is sent again: by a clock that is set by hand."""

import pytest

from imgserve.client.api import upkeep
from imgserve.client.api.call import Answer
from imgserve.client.api.errors import ServerUnreachable
from imgserve.client.api.retrying import Retries, Trial


class Clock:
    """Goes on when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _busy(retry_after: str | None = None, status: int = 503) -> Answer:
    return Answer(status, {} if retry_after is None else {"retry-after": retry_after}, b"")


def _waits(trial: Trial, clock: Clock, answer: Answer) -> list[float]:
    waits = []
    while (wait := trial.after_answer(answer)) is not None:
        waits.append(wait)
        clock.now += wait
    return waits


def test_waits_grow_up_to_their_bound_and_end_with_the_patience() -> None:
    clock = Clock()
    trial = Trial(Retries(seconds=10, first=0.5, most=2, spread=0), upkeep.stats(), clock)
    assert _waits(trial, clock, _busy()) == [0.5, 1, 2, 2, 2, 2]


def test_the_server_says_how_long_to_wait() -> None:
    clock = Clock()
    trial = Trial(Retries(seconds=10, first=0.5, spread=0), upkeep.stats(), clock)
    assert _waits(trial, clock, _busy("4", status=429)) == [4, 4]


def test_clients_do_not_come_back_at_once() -> None:
    waits = {Trial(Retries(first=1, spread=0.5), upkeep.stats()).after_answer(_busy()) for _ in range(50)}
    assert len(waits) > 10
    assert all(wait is not None and 1 <= wait <= 1.5 for wait in waits)


@pytest.mark.parametrize("status", [200, 400, 401, 404, 422, 500, 502, 507])
def test_other_answers_are_final(status: int) -> None:
    assert Trial(Retries(), upkeep.stats()).after_answer(_busy("1", status)) is None


def test_what_another_try_would_meet_too_is_told_at_once() -> None:
    trial = Trial(Retries(), upkeep.stats())
    with pytest.raises(ServerUnreachable):
        trial.after_failure(ServerUnreachable(), lasting=True)
    assert trial.after_failure(ServerUnreachable(), lasting=False) > 0


def test_no_patience_is_a_single_try() -> None:
    assert Trial(Retries(seconds=0), upkeep.stats()).after_answer(_busy("0")) is None
