"""`imgserve config`."""

import json
from pathlib import Path

import click

from imgserve import config as settings
from imgserve.cli.options import config_option


@click.group()
def command() -> None:
    """Check and describe the settings."""


@command.command()
@config_option
def check(path: Path | None) -> None:
    """Read the settings as the server would, and list every mistake."""
    settings.Config.load(path)
    click.echo("The settings are fine.")


@command.command()
def example() -> None:
    """Print a settings file with every setting, its meaning and its default."""
    click.echo(settings.example(), nl=False)


@command.command()
def schema() -> None:
    """Print the JSON Schema of the settings file, for editors."""
    click.echo(json.dumps(settings.schema(), indent=2))
