"""A job done as a rendering process does it, in whatever process calls."""

from pathlib import Path

from imgserve.pipeline.mezzanine import Mezzanine, read_mezzanine, write_mezzanine
from imgserve.rendering.files import open_files
from imgserve.rendering.wire import Failed, Rendered, RenderJob
from imgserve.rendering.worker import answers_to


def render_file(job: RenderJob) -> Rendered:
    """Render one picture and return it, or raise its error."""
    with open_files(job) as files:
        answer = next(iter(answers_to(job, files)))
    if isinstance(answer, Failed):
        raise answer.error
    assert isinstance(answer, Rendered)
    return answer


def store_mezzanine(path: Path, mezzanine: Mezzanine, *, compact: bool = False) -> int:
    """Write a mezzanine to a new file and return the bytes."""
    with path.open("xb") as file:
        return write_mezzanine(file.fileno(), mezzanine, compact=compact)


def load_mezzanine(path: Path) -> Mezzanine:
    """Return the mezzanine of a file, or raise what is wrong with it."""
    with path.open("rb") as file:
        return read_mezzanine(file.fileno())
