"""What ends a benchmark early."""


class BenchmarkFailed(RuntimeError):
    """A program that is measured did not start, or did not answer as it should."""
