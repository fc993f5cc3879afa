"""Commands about renditions and presets on a running server, and about their URLs."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import click

from imgserve.cli.main import Remote, connection_options
from imgserve.cli.output import Progress, counted, echo, json_line, json_option, size_text
from imgserve.cli.remote import connected, filter_options, prints, selection
from imgserve.client import ImageUrls, Parameters
from imgserve.client.api import Filters, Imgserve, PresetRecord, Purged, Warmed


def _purged_line(done: Purged) -> str:
    return f"{counted(done.renditions, 'rendition')} of {counted(done.images, 'image')} purged"


@click.command()
@click.argument("ids", nargs=-1)
@click.option("--prefix", help="Images whose ids start with this.")
@click.option("--tag", help="Images with this tag.")
@click.option("--preset", help="Renditions of this preset.")
@click.option("--all", "everything", is_flag=True, help="All renditions.")
@click.option("--mezzanines", is_flag=True, help="Remove mezzanines too: the next pictures decode the originals again.")
@prints(_purged_line)
def purge(client: Imgserve, *, ids: tuple[str, ...], mezzanines: bool, **selected: Any) -> Iterable[Purged]:
    """Purge the renditions of images, on all nodes and in caches in front. The next request renders them again."""
    ways = [bool(ids), *(value not in {None, False} for value in selected.values())]
    if not any(ways):
        raise click.UsageError("which images? Pass ids, or one of --prefix, --tag, --preset and --all")
    if sum(ways) > 1:
        raise click.UsageError("pass only one of image ids, --prefix, --tag, --preset and --all")
    if len(ids) > 1:
        return [client.purge_many(ids, mezzanines=mezzanines)]
    [image_id] = ids or [None]
    return [client.purge(image_id, **selected, mezzanines=mezzanines)]


@click.command()
@click.argument("ids", nargs=-1)
@click.option("--preset", "presets", multiple=True, help="Render this preset; repeatable.")
@click.option(
    "--transform", "transforms", multiple=True, help='Render this query, such as "width=400&format=webp"; repeatable.'
)
@click.option("--all", "everything", is_flag=True, help="All images.")
@filter_options
@json_option
@click.pass_obj
def warm(
    remote: Remote,
    *,
    ids: tuple[str, ...],
    presets: tuple[str, ...],
    transforms: tuple[str, ...],
    everything: bool,
    filters: Filters,
    as_json: bool,
) -> None:
    """Render pictures of IDS or of filtered images ahead of time. The exit status is 1 if any failed."""
    if not (presets or transforms):
        raise click.UsageError("which pictures? Pass --preset or --transform")
    if everything:
        if filters or ids:
            raise click.UsageError("--all cannot be combined with image ids or filters")
        filters = {"prefix": ""}
    progress, last = Progress(), None
    with connected(remote) as client:
        for last in client.warm(presets=presets, transforms=transforms, **selection(ids, filters, every="--all")):
            _show_progress(last, progress, as_json=as_json)
    sys.exit(1 if last is not None and last.failed else 0)


def _show_progress(state: Warmed, progress: Progress, *, as_json: bool) -> None:
    if as_json:
        echo(json_line(state))
        return
    if state.error is not None or state.finished:
        progress.clear()
    if state.error is not None:
        echo(f"imgserve: {state.image_id}: {state.error.detail}", err=True)
    if state.finished:
        echo(f"{counted(state.made, 'picture')} made, {state.failed} failed")
    else:
        progress.update(f"{state.done} of {state.total}, {counted(state.made, 'picture')} made")


@click.command()
@click.argument("image_id")
@click.argument("rendition", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("parameters", default="")
@click.option("--to", "extension", help="Extension of the format, if RENDITION has none.")
@click.pass_obj
def convert(remote: Remote, *, image_id: str, rendition: Path, parameters: str, extension: str | None) -> None:
    """Save a picture in the format of the extension, such as: convert shoe.jpg small.webp "width=400".

    RENDITION "-" is standard output.
    """
    chosen = extension or rendition.suffix
    if not chosen:
        raise click.UsageError("which format? Pass --to, or a RENDITION with an extension")
    query = cast("Parameters", dict(parse_qsl(parameters, keep_blank_values=True)))
    with connected(remote) as client:
        picture = client.convert(image_id, chosen, **query)
    if str(rendition) == "-":
        sys.stdout.buffer.write(picture.data)
    else:
        picture.save(rendition)
    summary = f"{rendition}: {picture.media_type}, {size_text(len(picture.data))}"
    echo("; ".join(filter(None, [summary, picture.adjusted])), err=True)


@click.command()
@click.argument("base")
@click.argument("image_id")
@click.argument("parameters", default="")
@click.option("--preset-in-path", is_flag=True, help="Write the preset after the image id.")
def url(base: str, image_id: str, parameters: str, preset_in_path: bool) -> None:
    """Print the canonical URL of a picture, such as: url https://img.example.com/img "a shoe.jpg" "w=400&format=auto".

    BASE is the URL of the pictures on the server.
    """
    try:
        images = ImageUrls(base, preset_in_path=preset_in_path)
        click.echo(images.with_query(parameters).url(image_id))
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@click.group()
def presets() -> None:
    """List, set and remove presets of a running server."""


def _preset_line(preset: PresetRecord) -> str:
    return f"{','.join((preset.name, *preset.aliases)):24}  {preset.origin:8}  {preset.parameters}".rstrip()


@presets.command("list")
@prints(_preset_line, header=f"{'NAME':24}  {'SET IN':8}  PARAMETERS", none="there are no presets")
def list_presets(client: Imgserve) -> list[PresetRecord]:
    """List the presets, without those of sites."""
    return client.presets()


@presets.command("set")
@click.argument("name")
@click.argument("parameters")
@prints(_preset_line)
def set_preset(client: Imgserve, *, name: str, parameters: str) -> Iterator[PresetRecord]:
    """Store a preset, such as: set card "width=400&extends=base&locked"."""
    yield client.set_preset(name, parameters)


@presets.command()
@click.argument("name")
@prints(lambda name: f"removed: {name}")
def remove(client: Imgserve, *, name: str) -> Iterator[str]:
    """Remove a preset of the catalog."""
    client.remove_preset(name)
    yield name


for _command in (list_presets, set_preset, remove):
    _command.params += connection_options(environment=False)
