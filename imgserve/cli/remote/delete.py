"""`imgserve delete`."""

import sys

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo, echo_all, json_option, moment_text
from imgserve.cli.remote.selecting import filter_options, meant
from imgserve.cli.remote.server import connected
from imgserve.client.api import Deleted, Filters
from imgserve.errors import ImageNotFound


@click.command()
@click.argument("ids", nargs=-1)
@filter_options
@click.option("--yes", is_flag=True, help="Needed to delete by anything but ids.")
@json_option
@click.pass_obj
def command(remote: Remote, *, ids: tuple[str, ...], filters: Filters, yes: bool, as_json: bool) -> None:
    """Put images into the trash, by IDS or by what is true of them; the exit status is 1 if one was not there."""
    if filters and not yes:
        raise click.UsageError("this deletes whatever matches: look with find first, then give --yes")
    with connected(remote) as client:
        gone = client.delete_many(**meant(ids, filters))
    echo_all(gone, _line, as_json=as_json)
    absent = [image_id for image_id in ids if image_id not in {deleted.image_id for deleted in gone}]
    for image_id in absent:
        echo(f"imgserve: {image_id}: {ImageNotFound().detail}", err=True)
    sys.exit(1 if absent else 0)


def _line(deleted: Deleted) -> str:
    if deleted.trash_item is None:
        return f"deleted for good: {deleted.image_id}"
    return f"in the trash until {moment_text(deleted.until)} as {deleted.trash_item}: {deleted.image_id}"
