"""`imgserve similar`."""

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo_all, image_line, json_option
from imgserve.cli.remote.server import connected
from imgserve.client.api import Similar


@click.command()
@click.argument("image_id")
@click.option("--distance", type=click.IntRange(0, 64), help="Bits of 64 that may differ.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@json_option
@click.pass_obj
def command(remote: Remote, *, image_id: str, distance: int | None, limit: int | None, as_json: bool) -> None:
    """List images that look like one, the most alike first: distance, then as find lists them."""
    with connected(remote) as client:
        echo_all(client.similar(image_id, distance=distance, limit=limit), _line, as_json=as_json)


def _line(similar: Similar) -> str:
    return f"{similar.distance:2}  {image_line(similar.image) if similar.image else similar.image_id}"
