"""`imgserve stats`."""

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo_all, json_option, size_text
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
    return f"{stats.images} images, {size_text(stats.size)}; {stats.problems} problems; imgserve {stats.version}"
