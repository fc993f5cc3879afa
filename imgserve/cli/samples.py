"""`imgserve samples`."""

from pathlib import Path

import click

from imgserve.pipeline.samples import draw_samples


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def command(folder: Path) -> None:
    """Draw sample pictures into a folder, to try the server with."""
    for drawn in draw_samples(folder):
        click.echo(drawn)
