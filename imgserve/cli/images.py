"""Commands about images and their records on a running server."""

import sys
from typing import Literal, cast, get_args

import click

from imgserve.cli.main import Remote
from imgserve.cli.output import (
    IMAGE_HEADER,
    counted,
    echo,
    echo_all,
    image_line,
    image_text,
    json_option,
    size_text,
    time_text,
)
from imgserve.cli.remote import connected, detail_options, filter_options, selection
from imgserve.client.api import Changes, Filters, Listing, Made, Stats

Sort = Literal["created", "changed", "id", "bytes", "pixels"]
Order = Literal["asc", "desc"]


@click.command()
@click.argument("words", nargs=-1)
@filter_options
@click.option("--sort", type=click.Choice(get_args(Sort)))
@click.option("--order", type=click.Choice(get_args(Order)))
@click.option("--limit", type=click.IntRange(1), help="Maximum number; default: all.")
@json_option
@click.pass_obj
def find(
    remote: Remote,
    *,
    words: tuple[str, ...],
    filters: Filters,
    sort: Sort | None,
    order: Order | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """List images that have all WORDS in title, alt, description, tags or id, and match the options."""
    listing = cast("Listing", dict(filters))
    text = " ".join([*words, filters.get("q", "")]).strip()
    if text:
        listing["q"] = text
    if sort is not None:
        listing["sort"] = sort
    if order is not None:
        listing["order"] = order
    with connected(remote) as client:
        echo_all(
            client.find(limit=limit, **listing),
            image_line,
            as_json=as_json,
            header=IMAGE_HEADER,
            none="no images match",
        )


@click.command()
@click.argument("image_id")
@json_option
@click.pass_obj
def show(remote: Remote, *, image_id: str, as_json: bool) -> None:
    """Show everything recorded about an image."""
    with connected(remote) as client:
        echo_all([client.get(image_id)], image_text, as_json=as_json)


@click.command()
@click.argument("image_id")
@click.option("--distance", type=click.IntRange(0, 64), help="Bits of the 64-bit hash that may differ.")
@click.option("--limit", type=click.IntRange(1), help="Maximum number.")
@json_option
@click.pass_obj
def similar(remote: Remote, *, image_id: str, distance: int | None, limit: int | None, as_json: bool) -> None:
    """List images that look like this one, most similar first, with the number of bits that differ."""
    with connected(remote) as client:
        echo_all(
            client.similar(image_id, distance=distance, limit=limit),
            lambda found: f"{found.distance:4}  {image_line(found.image) if found.image else found.image_id}",
            as_json=as_json,
            header=f"BITS  {IMAGE_HEADER}",
            none="no images look alike",
        )


@click.command()
@json_option
@click.pass_obj
def duplicates(remote: Remote, *, as_json: bool) -> None:
    """List images with identical bytes in groups that begin with an empty line; as JSON, one array per group."""
    with connected(remote) as client:
        echo_all(
            client.duplicates(),
            lambda images: "\n".join(["", *map(image_line, images)]),
            as_json=as_json,
            header=IMAGE_HEADER,
            none="no duplicates",
        )


@click.command()
@click.argument("image_id")
@detail_options
@click.option("--no-tags", is_flag=True, help="Remove all tags.")
@click.option("--no-focal-point", is_flag=True, help="Remove the focal point.")
@json_option
@click.pass_obj
def change(
    remote: Remote, *, image_id: str, details: Changes, no_tags: bool, no_focal_point: bool, as_json: bool
) -> None:
    """Change fields of an image; fields without an option stay as they are."""
    if no_focal_point:
        details["focal_point"] = None
    if no_tags:
        details["tags"] = []
    if not details:
        raise click.UsageError("nothing to change: pass an option such as --title")
    with connected(remote) as client:
        echo_all([client.change(image_id, **details)], image_text, as_json=as_json)


@click.command()
@click.argument("image_id", metavar="OLD")
@click.argument("to", metavar="NEW")
@json_option
@click.pass_obj
def mv(remote: Remote, *, image_id: str, to: str, as_json: bool) -> None:
    """Move the image OLD to the id NEW, or into the folder NEW/; or all images in the folder OLD/ to NEW/.

    The old URLs redirect to the new ones for a time. The exit status is 1 if an image could not be moved.
    """
    folder = image_id.endswith("/")
    if folder and not to.endswith("/"):
        raise click.UsageError(f"a folder becomes a folder: expected {to}/")
    with connected(remote) as client:
        if folder:
            results = client.move_many(image_id, to)
        else:
            new_id = to + image_id.rpartition("/")[2] if to.endswith("/") else to
            results = [Made(image_id, image=client.move(image_id, new_id))]
    echo_all((one.image for one in results if one.image), image_line, as_json=as_json, none="no images moved")
    failures = [f"imgserve: {one.image_id}: {one.error.detail}" for one in results if one.error]
    for failure in failures:
        echo(failure, err=True)
    sys.exit(1 if failures else 0)


@click.command()
@click.argument("ids", nargs=-1)
@click.option("--add", multiple=True, help="Add this tag; repeatable.")
@click.option("--remove", multiple=True, help="Remove this tag; repeatable.")
@filter_options
@json_option
@click.pass_obj
def tag(
    remote: Remote,
    *,
    ids: tuple[str, ...],
    add: tuple[str, ...],
    remove: tuple[str, ...],
    filters: Filters,
    as_json: bool,
) -> None:
    """Add tags to images and remove tags, selected by IDS or by filters."""
    if not (add or remove):
        raise click.UsageError("nothing to change: pass --add or --remove")
    with connected(remote) as client:
        changed = client.tag_many(add=add, remove=remove, **selection(ids, filters))
    click.echo(f'{{"changed": {changed}}}' if as_json else f"{counted(changed, 'image')} changed")


@click.command()
@json_option
@click.pass_obj
def stats(remote: Remote, *, as_json: bool) -> None:
    """Show the number of images, their size, and the number of unusable files."""
    with connected(remote) as client:
        echo_all([client.stats()], _stats_line, as_json=as_json)


def _stats_line(stats: Stats) -> str:
    images, problems = counted(stats.images, "image"), counted(stats.problems, "problem")
    return f"{images}, {size_text(stats.size)}; {problems}; imgserve {stats.version}"


@click.command()
@click.option("--prefix", default="", help="Names that start with this.")
@json_option
@click.pass_obj
def problems(remote: Remote, *, prefix: str, as_json: bool) -> None:
    """List files among the originals that are not usable images, with the reason."""
    with connected(remote) as client:
        echo_all(
            client.problems(prefix),
            lambda problem: f"{time_text(problem.since)}  {problem.image_id}: {problem.detail}",
            as_json=as_json,
            header=f"{'SINCE':16}  FILE: REASON",
            none="no problems",
        )
