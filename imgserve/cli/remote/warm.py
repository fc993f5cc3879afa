"""`imgserve warm`."""

import sys

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import Progress, counted, echo, json_line, json_option
from imgserve.cli.remote.selecting import filter_options, meant
from imgserve.cli.remote.server import connected
from imgserve.client.api import Filters, Warmed


@click.command()
@click.argument("ids", nargs=-1)
@click.option("--preset", "presets", multiple=True, help="Make this preset; again for further ones.")
@click.option("--transform", "transforms", multiple=True, help='Make this, such as "width=400&format=webp"; again.')
@click.option("--all", "everything", is_flag=True, help="Of all images.")
@filter_options
@json_option
@click.pass_obj
def command(
    remote: Remote,
    *,
    ids: tuple[str, ...],
    presets: tuple[str, ...],
    transforms: tuple[str, ...],
    everything: bool,
    filters: Filters,
    as_json: bool,
) -> None:
    """Let pictures be made ahead of time, of IDS or of what is true of images; the exit status is 1 if any failed."""
    if not (presets or transforms):
        raise click.UsageError("which pictures? Give --preset or --transform")
    if everything:
        if filters or ids:
            raise click.UsageError("--all goes with neither image ids nor filters")
        filters = {"prefix": ""}
    progress, last = Progress(), None
    with connected(remote) as client:
        for last in client.warm(presets=presets, transforms=transforms, **meant(ids, filters, every="--all")):
            _tell(last, progress, as_json=as_json)
    sys.exit(1 if last is not None and last.failed else 0)


def _tell(told: Warmed, progress: Progress, *, as_json: bool) -> None:
    if as_json:
        echo(json_line(told))
        return
    if told.error is not None or told.finished:
        progress.clear()
    if told.error is not None:
        echo(f"imgserve: {told.image_id}: {told.error.detail}", err=True)
    if told.finished:
        echo(f"{counted(told.made, 'picture')} made, {told.failed} failed")
    else:
        progress.tell(f"{told.done} of {told.total}, {counted(told.made, 'picture')} made")
