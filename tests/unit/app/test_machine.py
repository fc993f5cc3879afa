"""A clock that was set is doubted for an hour."""

import pytest

from imgserve.app.machine import ClockWatch

HOUR = 3600.0


@pytest.mark.parametrize("by", [24 * HOUR, -HOUR])
def test_a_clock_that_was_set_is_doubted_for_an_hour(by: float) -> None:
    steady, ahead = 0.0, 1e9
    watch = ClockWatch(lambda: steady + ahead, lambda: steady)
    assert not watch.in_doubt()
    steady += 24 * HOUR
    assert not watch.in_doubt()
    ahead += by
    assert watch.in_doubt()
    steady += HOUR - 1
    assert watch.in_doubt()
    steady += 1
    assert not watch.in_doubt()


def test_a_clock_that_is_corrected_a_little_is_not_doubted() -> None:
    offsets = iter([0.0, 1.0, 30.0])
    watch = ClockWatch(lambda: next(offsets), lambda: 0.0)
    assert not watch.in_doubt()
    assert not watch.in_doubt()
