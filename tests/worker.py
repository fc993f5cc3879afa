"""A job done as a rendering process does it, in whatever process calls."""

from imgserve.rendering.wire import Failed, Rendered, RenderJob
from imgserve.rendering.worker import answers_to


def render_file(job: RenderJob) -> Rendered:
    """Render one picture and return it, or raise its error."""
    answer = next(iter(answers_to(job)))
    if isinstance(answer, Failed):
        raise answer.error
    assert isinstance(answer, Rendered)
    return answer
