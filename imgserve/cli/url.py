"""`imgserve url`."""

import click

from imgserve.client import ImageUrls


@click.command()
@click.argument("base")
@click.argument("image_id")
@click.argument("parameters", default="")
@click.option("--preset-in-path", is_flag=True, help="Write a preset behind the image id.")
def command(base: str, image_id: str, parameters: str, preset_in_path: bool) -> None:
    """Print the address of a picture: checked, escaped, and the same for all that ask for the same.

    Such as: url https://img.example.com/img "a shoe.jpg" "w=400&format=auto". BASE is where the server's pictures are.
    """
    try:
        images = ImageUrls(base, preset_in_path=preset_in_path)
        click.echo(images.with_query(parameters).url(image_id))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
