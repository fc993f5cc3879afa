"""Options that several commands take."""

from dataclasses import dataclass, field
from pathlib import Path

import click

config_option = click.option("--config", "path", type=click.Path(path_type=Path), help="Settings file (YAML).")

SERVER_VARIABLE = "IMGSERVE_SERVER"
KEY_VARIABLE = "IMGSERVE_KEY"


@dataclass(frozen=True, slots=True)
class Remote:
    """The server that a command is for, as the command line or the environment names it."""

    server: str | None
    key: str | None = field(repr=False)
