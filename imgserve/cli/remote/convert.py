"""`imgserve convert`."""

import sys
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import echo
from imgserve.cli.remote.server import connected
from imgserve.client import Parameters


@click.command()
@click.argument("image_id")
@click.argument("rendition", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("parameters", default="")
@click.option("--to", "extension", help="Extension of the format, where RENDITION has none.")
@click.pass_obj
def command(remote: Remote, *, image_id: str, rendition: Path, parameters: str, extension: str | None) -> None:
    """Save a picture in the format of a file's extension, such as: convert shoe.jpg small.webp "width=400".

    The name "-" for RENDITION is standard output.
    """
    chosen = extension or rendition.suffix
    if not chosen:
        raise click.UsageError("which format? Give RENDITION an extension, or --to")
    asked = cast("Parameters", dict(parse_qsl(parameters, keep_blank_values=True)))
    with connected(remote) as client:
        picture = client.convert(image_id, chosen, **asked)
    if str(rendition) == "-":
        sys.stdout.buffer.write(picture.data)
    else:
        picture.save(rendition)
    summary = f"{rendition}: {picture.media_type}, {len(picture.data)} bytes"
    echo("; ".join(filter(None, [summary, picture.adjusted])), err=True)
