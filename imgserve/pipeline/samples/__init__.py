"""Pictures that imgserve draws itself, to try it with and to test it with. It ships no third-party photograph.

Every picture is the same on each run. Nothing here serves or renders requests.
"""

from imgserve.pipeline.samples.draw import draw_samples

__all__ = ["draw_samples"]
