"""`imgserve show`."""

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo_all, image_text, json_option
from imgserve.cli.remote.server import connected


@click.command()
@click.argument("image_id")
@json_option
@click.pass_obj
def command(remote: Remote, *, image_id: str, as_json: bool) -> None:
    """Tell what is known about an image."""
    with connected(remote) as client:
        echo_all([client.get(image_id)], image_text, as_json=as_json)
