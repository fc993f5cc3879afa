"""`imgserve restore`."""

import sys

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo, echo_all, image_line, json_option
from imgserve.cli.remote.server import connected
from imgserve.client.api import Imgserve, ServerUnreachable
from imgserve.errors import ImgserveError, TrashItemNotFound, Unauthorized


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="ITEM_OR_ID...")
@json_option
@click.pass_obj
def command(remote: Remote, *, names: tuple[str, ...], as_json: bool) -> None:
    """Take images back out of the trash: by item, or by id the one that was deleted last."""
    failed = False
    with connected(remote) as client:
        for name in names:
            try:
                echo_all([client.restore(_item(client, name))], image_line, as_json=as_json)
            except (ServerUnreachable, Unauthorized):
                raise
            except ImgserveError as error:
                failed = True
                echo(f"imgserve: {name}: {error.detail}", err=True)
    sys.exit(1 if failed else 0)


def _item(client: Imgserve, name: str) -> str:
    trash = client.trash()
    of_image = sorted((item.deleted, item.item) for item in trash if item.image_id == name)
    if name in {item.item for item in trash}:
        return name
    if not of_image:
        raise TrashItemNotFound
    return of_image[-1][1]
