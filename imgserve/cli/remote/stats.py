"""`imgserve stats`."""

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import counted, echo_all, json_option, size_text
from imgserve.cli.remote.server import connected
from imgserve.client.api import Stats


@click.command()
@json_option
@click.pass_obj
def command(remote: Remote, *, as_json: bool) -> None:
    """Tell how many images a server has, how large they are, and how many files are none."""
    with connected(remote) as client:
        echo_all([client.stats()], _line, as_json=as_json)


def _line(stats: Stats) -> str:
    images, problems = counted(stats.images, "image"), counted(stats.problems, "problem")
    return f"{images}, {size_text(stats.size)}; {problems}; imgserve {stats.version}"
