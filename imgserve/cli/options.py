"""Options that several commands take."""

from pathlib import Path

import click

config_option = click.option("--config", "path", type=click.Path(path_type=Path), help="Settings file (YAML).")
