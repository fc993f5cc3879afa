"""`imgserve find`."""

from typing import Literal, cast, get_args

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo_all, image_line, json_option
from imgserve.cli.remote.selecting import filter_options
from imgserve.cli.remote.server import connected
from imgserve.client.api import Filters, Listing

Sort = Literal["created", "changed", "id", "bytes", "pixels"]
Order = Literal["asc", "desc"]


@click.command()
@click.argument("words", nargs=-1)
@filter_options
@click.option("--sort", type=click.Choice(get_args(Sort)))
@click.option("--order", type=click.Choice(get_args(Order)))
@click.option("--limit", type=click.IntRange(1), help="At most so many; by default all.")
@json_option
@click.pass_obj
def command(
    remote: Remote,
    *,
    words: tuple[str, ...],
    filters: Filters,
    sort: Sort | None,
    order: Order | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """List images: all, or those with WORDS in title, alt, description, tags or id, and with whatever options ask."""
    listing = cast("Listing", dict(filters))
    text = " ".join([*words, filters.get("q", "")]).strip()
    if text:
        listing["q"] = text
    if sort is not None:
        listing["sort"] = sort
    if order is not None:
        listing["order"] = order
    with connected(remote) as client:
        echo_all(client.find(limit=limit, **listing), image_line, as_json=as_json)
