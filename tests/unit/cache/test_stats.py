"""Errors of the cache disk: counted, logged once, kept away."""

import errno
import logging
import sqlite3

import pytest

from imgserve.cache.stats import Faults


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_an_error_is_kept_away_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    for _ in range(3):
        with faults.guard("writing"):
            raise full()
    with faults.guard("reading"):
        raise full()
    assert faults.count == 4
    assert faults.failing
    assert len(warnings(caplog)) == 1
    assert "writing fails with ENOSPC: No space left on device; pictures are served" in warnings(caplog)[0]


def test_another_kind_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    for error in (full(), OSError(errno.EACCES, "no"), sqlite3.OperationalError("locked"), TimeoutError("late")):
        with faults.guard("writing"):
            raise error
    assert len(warnings(caplog)) == 4


def test_after_it_worked_again_the_kind_is_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults(quiet_seconds=0)
    for _ in range(2):
        faults.record("writing", full())
        faults.record("writing", full())
        with faults.guard("writing"):
            pass
    assert not faults.failing
    assert len(warnings(caplog)) == 2


def test_a_disk_that_fails_every_other_time_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    for _ in range(100):
        faults.record("writing", full())
        with faults.guard("writing"):
            pass
    assert faults.count == 100
    assert len(warnings(caplog)) == 1


def test_success_of_another_action_does_not_end_a_failure() -> None:
    faults = Faults()
    faults.record("writing", full())
    with faults.guard("reading"):
        pass
    assert faults.failing


def test_other_errors_are_not_for_faults_to_keep() -> None:
    with pytest.raises(ValueError, match="a mistake"), Faults().guard("writing"):
        raise ValueError("a mistake")
