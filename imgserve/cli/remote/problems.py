"""`imgserve problems`."""

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo_all, json_option, moment_text
from imgserve.cli.remote.server import connected
from imgserve.client.api import Problem


@click.command()
@click.option("--prefix", default="", help="Whose names begin so.")
@json_option
@click.pass_obj
def command(remote: Remote, *, prefix: str, as_json: bool) -> None:
    """List the files among the originals that are no images, or none that can be used, and why."""
    with connected(remote) as client:
        echo_all(client.problems(prefix), _line, as_json=as_json)


def _line(problem: Problem) -> str:
    return f"{moment_text(problem.since)}  {problem.image_id}: {problem.detail}"
