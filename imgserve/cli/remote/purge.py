"""`imgserve purge`."""

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo_all, json_option
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
    if ids and (prefix is not None or tag is not None or preset is not None or everything):
        raise click.UsageError("give either image ids or one of --prefix, --tag, --preset and --all")
    with connected(remote) as client:
        if len(ids) > 1:
            purged = client.purge_many(ids)
        else:
            [image_id] = ids or [None]
            purged = client.purge(image_id, prefix=prefix, tag=tag, preset=preset, everything=everything)
    echo_all([purged], _line, as_json=as_json)


def _line(purged: Purged) -> str:
    return f"{purged.renditions} renditions of {purged.images} images purged"
