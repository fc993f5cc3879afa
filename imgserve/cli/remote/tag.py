"""`imgserve tag`."""

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import counted, json_option
from imgserve.cli.remote.selecting import filter_options, meant
from imgserve.cli.remote.server import connected
from imgserve.client.api import Filters


@click.command()
@click.argument("ids", nargs=-1)
@click.option("--add", multiple=True, help="Give this tag; again for further ones.")
@click.option("--remove", multiple=True, help="Take this tag away; again for further ones.")
@filter_options
@json_option
@click.pass_obj
def command(
    remote: Remote,
    *,
    ids: tuple[str, ...],
    add: tuple[str, ...],
    remove: tuple[str, ...],
    filters: Filters,
    as_json: bool,
) -> None:
    """Give tags to images and take others away, by IDS or by what is true of them."""
    if not (add or remove):
        raise click.UsageError("nothing to do: give --add or --remove")
    with connected(remote) as client:
        changed = client.tag_many(add=add, remove=remove, **meant(ids, filters))
    click.echo(f'{{"changed": {changed}}}' if as_json else f"{counted(changed, 'image')} changed")
