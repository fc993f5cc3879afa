"""The project's own sample pictures, drawn by code. Every picture is the same on each run."""

from benchmarks.samples.draw import draw_samples

__all__ = ["draw_samples"]
