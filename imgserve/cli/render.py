"""`imgserve render`."""

import sys
from dataclasses import replace
from pathlib import Path

import click

from imgserve.app import recipe
from imgserve.cli.options import config_option
from imgserve.config import Config
from imgserve.formats import BY_EXTENSION
from imgserve.pipeline import load
from imgserve.pipeline.render import render
from imgserve.transform import parse_query


@click.command()
@click.argument("original", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("rendition", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("parameters", default="")
@config_option
def command(original: Path, rendition: Path, parameters: str, path: Path | None) -> None:
    """Make one picture without a server, such as: render shoe.jpg small.webp "width=400".

    The format is the one of PARAMETERS, else of the extension of RENDITION; its name "-" is standard output.
    """
    config = Config.load(path)
    asked = parse_query(parameters, strict=True, presets=config.plain_presets(), max_side=config.limits.output_side)
    transform = asked.transform
    named = BY_EXTENSION.get(rendition.suffix[1:].lower())
    if transform.format is None and str(rendition) != "-":
        if named is None or not named.writable:
            raise click.UsageError(f"{rendition}: a picture cannot be written as {rendition.suffix or 'that'}")
        transform = replace(transform, format=named.name)
    load.prepare(config.formats.allow_untrusted)
    how = recipe(config)
    made = render(original.read_bytes(), transform, limits=how.limits, encoders=how.encoders, damaged=how.damaged)
    if str(rendition) == "-":
        sys.stdout.buffer.write(made.data)
    else:
        rendition.write_bytes(made.data)
    summary = f"{rendition}: {made.width}x{made.height} {made.media_type}, {len(made.data)} bytes"
    click.echo("; ".join([summary, *asked.notes, *made.notes]), err=True)
