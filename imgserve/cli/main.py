"""The command line: a table of commands, each imported when it runs."""

import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import click

from imgserve import __version__
from imgserve.errors import ImgserveError

SERVER_VARIABLE = "IMGSERVE_SERVER"
KEY_VARIABLE = "IMGSERVE_KEY"

config_option = click.option("--config", "path", type=click.Path(path_type=Path), help="Settings file (YAML).")

_LOCAL = {
    "cache": ("cache", "Inspect and clean the folder of renditions; safe while servers use it."),
    "config": ("local", "Check and describe the settings."),
    "render": ("local", "Render one picture without a server."),
    "samples": ("local", "Copy the sample pictures into a folder."),
    "serve": ("serve", "Serve the pictures of a folder (default: the current one)."),
    "url": ("renditions", "Print the URL of a picture on a server."),
}
"""Commands that work on this machine: name, module and short help."""

_REMOTE = {
    "change": ("images", "Change the title, tags, focal point and other fields of an image."),
    "convert": ("renditions", "Save a picture in another format."),
    "delete": ("trash", "Move images to the trash."),
    "duplicates": ("images", "List images with identical bytes."),
    "find": ("images", "List images by words, tags, sizes and times."),
    "problems": ("images", "List files that are not usable images."),
    "purge": ("renditions", "Purge the renditions of images."),
    "restore": ("trash", "Restore images from the trash."),
    "show": ("images", "Show everything recorded about an image."),
    "similar": ("images", "List images that look alike."),
    "stats": ("images", "Show the number and size of images."),
    "tag": ("images", "Add tags to images, and remove tags."),
    "trash": ("trash", "List deleted images that can be restored."),
    "upload": ("upload", "Upload files and folders."),
    "warm": ("renditions", "Render pictures ahead of time."),
}
"""Commands that talk to a running server, likewise."""

_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Remote:
    """The server and the key that the command line or the environment names."""

    server: str | None
    key: str | None = field(repr=False)


class _Commands(click.Group):
    """A group that imports a command when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return sorted([*_LOCAL, *_REMOTE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        found = (_LOCAL | _REMOTE).get(cmd_name)
        if found is None:
            return None
        return cast("click.Command", getattr(importlib.import_module(f"imgserve.cli.{found[0]}"), cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        for title, commands in (("Commands", _LOCAL), ("Commands for a running server (--server)", _REMOTE)):
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imgserve")
@click.option("--server", metavar="URL", envvar=SERVER_VARIABLE, show_envvar=True, help="URL of the running server.")
@click.option(
    "--key", envvar=KEY_VARIABLE, show_envvar=True, help="API key; visible to other users of this machine if set here."
)
@click.pass_context
def cli(ctx: click.Context, server: str | None, key: str | None) -> None:
    """An on-demand resizing image CDN origin server."""
    ctx.obj = Remote(server, key)


def main() -> None:
    """Run a command. An expected error prints one sentence to standard error and exits with status 1."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(_INTERRUPTED)
    except click.UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"imgserve: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except (ImgserveError, OSError) as error:
        click.echo(f"imgserve: {error.detail if isinstance(error, ImgserveError) else error}", err=True)
        sys.exit(1)
