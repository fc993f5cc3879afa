"""`imgserve purge`."""

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import counted, echo_all, json_option
from imgserve.cli.remote.server import connected
from imgserve.client.api import Purged


@click.command()
@click.argument("ids", nargs=-1)
@click.option("--prefix", help="Of images whose ids begin so.")
@click.option("--tag", help="Of images with this tag.")
@click.option("--preset", help="Those made with this preset.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@json_option
@click.pass_obj
def command(
    remote: Remote,
    *,
    ids: tuple[str, ...],
    prefix: str | None,
    tag: str | None,
    preset: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Purge what was made of images, here and in caches in front; it is made anew when it is asked for."""
    ways = [bool(ids), prefix is not None, tag is not None, preset is not None, everything]
    if not any(ways):
        raise click.UsageError("which images? Give ids, or one of --prefix, --tag, --preset and --all")
    if sum(ways) > 1:
        raise click.UsageError("give only one of image ids, --prefix, --tag, --preset and --all")
    with connected(remote) as client:
        if len(ids) > 1:
            purged = client.purge_many(ids)
        else:
            [image_id] = ids or [None]
            purged = client.purge(image_id, prefix=prefix, tag=tag, preset=preset, everything=everything)
    echo_all([purged], _line, as_json=as_json)


def _line(purged: Purged) -> str:
    return f"{counted(purged.renditions, 'rendition')} of {counted(purged.images, 'image')} purged"
