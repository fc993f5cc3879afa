"""Commands about images and their records on a running server."""

import sys
from collections.abc import Iterable
from typing import Any, cast

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
from imgserve.cli.remote import connected, detail_options, filter_options, prints, selection
from imgserve.client.api import Changes, Filters, Image, Imgserve, Listing, Made, Problem, Similar, Stats


@click.command()
@click.argument("words", nargs=-1)
@filter_options
@click.option("--sort", type=click.Choice(["created", "changed", "id", "bytes", "pixels"]))
@click.option("--order", type=click.Choice(["asc", "desc"]))
@click.option("--limit", type=click.IntRange(1), help="Maximum number; default: all.")
@prints(image_line, header=IMAGE_HEADER, none="no images match")
def find(
    client: Imgserve, *, words: tuple[str, ...], filters: Filters, limit: int | None, **order: str | None
) -> Iterable[Image]:
    """List images that have all WORDS in title, alt, description, tags or id, and match the options."""
    text = " ".join([*words, filters.get("q", "")]).strip()
    given = {name: value for name, value in {**order, "q": text or None}.items() if value is not None}
    return client.find(limit=limit, **cast("Listing", {**filters, **given}))


@click.command()
@click.argument("image_id")
@prints(image_text)
def show(client: Imgserve, *, image_id: str) -> Iterable[Image]:
    """Show everything recorded about an image."""
    return [client.get(image_id)]


def _similar_line(found: Similar) -> str:
    return f"{found.distance:4}  {image_line(found.image) if found.image else found.image_id}"


@click.command()
@click.argument("image_id")
@click.option("--distance", type=click.IntRange(0, 64), help="Bits of the 64-bit hash that may differ.")
@click.option("--limit", type=click.IntRange(1), help="Maximum number.")
@prints(_similar_line, header=f"BITS  {IMAGE_HEADER}", none="no images look alike")
def similar(client: Imgserve, *, image_id: str, distance: int | None, limit: int | None) -> Iterable[Similar]:
    """List images that look like this one, most similar first, with the number of bits that differ."""
    return client.similar(image_id, distance=distance, limit=limit)


def _group_lines(images: Iterable[Image]) -> str:
    return "\n".join(["", *map(image_line, images)])


@click.command()
@prints(_group_lines, header=IMAGE_HEADER, none="no duplicates")
def duplicates(client: Imgserve) -> Iterable[tuple[Image, ...]]:
    """List images with identical bytes in groups that begin with an empty line; as JSON, one array per group."""
    return client.duplicates()


@click.command()
@click.argument("image_id")
@detail_options
@click.option("--no-tags", is_flag=True, help="Remove all tags.")
@click.option("--no-focal-point", is_flag=True, help="Remove the focal point.")
@prints(image_text)
def change(
    client: Imgserve, *, image_id: str, details: Changes, no_tags: bool, no_focal_point: bool
) -> Iterable[Image]:
    """Change fields of an image; fields without an option stay as they are."""
    if no_focal_point:
        details["focal_point"] = None
    if no_tags:
        details["tags"] = []
    if not details:
        raise click.UsageError("nothing to change: pass an option such as --title")
    return [client.change(image_id, **details)]


def _changed_line(result: dict[str, Any]) -> str:
    return f"{counted(result['changed'], 'image')} changed"


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
@prints(_changed_line)
def tag(
    client: Imgserve, *, ids: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...], filters: Filters
) -> Iterable[dict[str, Any]]:
    """Add tags to images and remove tags, selected by IDS or by filters."""
    if not (add or remove):
        raise click.UsageError("nothing to change: pass --add or --remove")
    return [{"changed": client.tag_many(add=add, remove=remove, **selection(ids, filters))}]


def _stats_line(stats: Stats) -> str:
    images, problems = counted(stats.images, "image"), counted(stats.problems, "problem")
    return f"{images}, {size_text(stats.size)}; {problems}; imgserve {stats.version}"


@click.command()
@prints(_stats_line)
def stats(client: Imgserve) -> Iterable[Stats]:
    """Show the number of images, their size, and the number of unusable files."""
    return [client.stats()]


def _problem_line(problem: Problem) -> str:
    return f"{time_text(problem.since)}  {problem.image_id}: {problem.detail}"


@click.command()
@click.option("--prefix", default="", help="Names that start with this.")
@prints(_problem_line, header=f"{'SINCE':16}  FILE: REASON", none="no problems")
def problems(client: Imgserve, *, prefix: str) -> Iterable[Problem]:
    """List files among the originals that are not usable images, with the reason."""
    return client.problems(prefix)
