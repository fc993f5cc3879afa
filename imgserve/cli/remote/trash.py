"""`imgserve trash`."""

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo_all, json_option, moment_text, size_text
from imgserve.cli.remote.server import connected
from imgserve.client.api import TrashItem


@click.command()
@click.option("--empty", is_flag=True, help="Give all of it up for good.")
@json_option
@click.pass_obj
def command(remote: Remote, *, empty: bool, as_json: bool) -> None:
    """List what was deleted and can be had back: until when, how large, item, image id."""
    with connected(remote) as client:
        if empty:
            client.empty_trash()
        else:
            echo_all(client.trash(), _line, as_json=as_json)


def _line(item: TrashItem) -> str:
    return f"{moment_text(item.until)} {size_text(item.size):>9}  {item.item}  {item.image_id}"
