import functools
import logging

import anyio
import pytest

from imgserve.library.invalidation import restart_on_failure


class Work:
    """Fails as often as it is told to."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.done = 0

    async def run(self, _given: str = "") -> None:
        self.left -= 1
        if self.left >= 0:
            raise ExceptionGroup("several", [ValueError("odd")])
        self.done += 1


@pytest.mark.parametrize("given", [(), ("something",)])
def test_work_that_fails_begins_anew_until_it_is_done(caplog: pytest.LogCaptureFixture, given: tuple[str, ...]) -> None:
    work = Work(3)
    run = functools.partial(work.run, *given) if given else work.run
    with caplog.at_level(logging.ERROR, "imgserve"):
        anyio.run(functools.partial(restart_on_failure, run, first_pause=0.0))
    assert (work.done, caplog.text.count("Work.run failed and starts again")) == (1, 3)
    assert "ValueError: odd" in caplog.text


def test_work_that_is_cancelled_ends() -> None:
    async def main() -> bool:
        with anyio.move_on_after(0.05) as scope:
            await restart_on_failure(anyio.sleep_forever)
        return scope.cancelled_caught

    assert anyio.run(main)
