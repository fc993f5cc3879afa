from benchmarks.programs import settled_seconds


class Program:
    """Works on after it has answered."""

    def __init__(self, *told: float) -> None:
        self._told = iter(told)

    def processor_seconds(self) -> float:
        return next(self._told)


def test_processor_time_is_reported_once_a_program_has_nothing_more_to_do() -> None:
    assert settled_seconds(Program(1.0, 1.2, 1.3, 1.301)) == 1.301
