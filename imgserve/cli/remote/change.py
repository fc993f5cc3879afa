"""`imgserve change`."""

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo_all, image_text, json_option
from imgserve.cli.remote.selecting import detail_options
from imgserve.cli.remote.server import connected
from imgserve.client.api import Changes


@click.command()
@click.argument("image_id")
@detail_options
@click.option("--no-tags", is_flag=True, help="Take all tags away.")
@click.option("--no-focal-point", is_flag=True, help="Take the focal point away.")
@json_option
@click.pass_obj
def command(
    remote: Remote, *, image_id: str, details: Changes, no_tags: bool, no_focal_point: bool, as_json: bool
) -> None:
    """Change what is known about an image; what no option names stays."""
    if no_focal_point:
        details["focal_point"] = None
    if no_tags:
        details["tags"] = []
    if not details:
        raise click.UsageError("nothing to do: say what to change, such as --title")
    with connected(remote) as client:
        echo_all([client.change(image_id, **details)], image_text, as_json=as_json)
