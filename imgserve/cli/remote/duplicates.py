"""`imgserve duplicates`."""

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo_all, image_line, json_option
from imgserve.cli.remote.server import connected
from imgserve.client.api import Image


@click.command()
@json_option
@click.pass_obj
def command(remote: Remote, *, as_json: bool) -> None:
    """List images of the same bytes, group by group, with an empty line between; as JSON, an array a group."""
    with connected(remote) as client:
        for number, group in enumerate(client.duplicates()):
            if number and not as_json:
                click.echo()
            echo_all([group], _lines, as_json=as_json)


def _lines(group: tuple[Image, ...]) -> str:
    return "\n".join(map(image_line, group))
