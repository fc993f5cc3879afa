"""`imgserve samples`."""

import shutil
from pathlib import Path

import click

from imgserve.web.assets import static_folder


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def command(folder: Path) -> None:
    """Copy sample pictures into a folder, to try the server with."""
    samples = static_folder() / "samples"
    for picture in sorted(path for path in samples.rglob("*") if path.is_file()):
        copy = folder / picture.relative_to(samples)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, copy)
        click.echo(copy)
