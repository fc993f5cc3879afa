"""Commands of presets."""

from collections.abc import Iterator

import click

from imgserve.cli.main import connection_options
from imgserve.cli.remote import prints
from imgserve.client.api import Imgserve, PresetRecord


@click.group()
def presets() -> None:
    """List, set and remove presets of a running server."""


def _line(preset: PresetRecord) -> str:
    return f"{','.join((preset.name, *preset.aliases)):24}  {preset.origin:8}  {preset.parameters}".rstrip()


@presets.command("list")
@prints(_line, header=f"{'NAME':24}  {'SET IN':8}  PARAMETERS", none="there are no presets")
def list_presets(client: Imgserve) -> list[PresetRecord]:
    """List the presets, without those of sites."""
    return client.presets()


@presets.command("set")
@click.argument("name")
@click.argument("parameters")
@prints(_line)
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
