"""The way into every command. It imports none of them before it is asked for.

A rendering process starts by running this file again (as every Python worker process does with the main program), and
has no use for a web server.
"""

import importlib
import sys
from typing import cast

import click

from imgserve import __version__
from imgserve.cli.options import KEY_VARIABLE, SERVER_VARIABLE, Remote
from imgserve.errors import ImgserveError

_COMMANDS = {
    "cache": "Look after the folder of renditions; safe while servers use it.",
    "config": "Check and describe the settings.",
    "render": "Make one picture without a server.",
    "samples": "Draw sample pictures into a folder, to try the server with.",
    "serve": "Serve the pictures of a folder (default: the current one).",
    "url": "Print the address of a picture on a server.",
}
"""Name and short help; each stands in the module of its name, as `command`."""

_REMOTE = {
    "change": "Change what is known about an image.",
    "convert": "Save a picture in another format.",
    "delete": "Put images into the trash.",
    "duplicates": "List images of the same bytes.",
    "find": "List images, by words, tags, sizes and times.",
    "problems": "List the files that are no images.",
    "purge": "Purge what was made of images.",
    "restore": "Take images back out of the trash.",
    "show": "Tell what is known about an image.",
    "similar": "List images that look alike.",
    "stats": "Tell how many images there are.",
    "tag": "Give tags to images, and take others away.",
    "trash": "List what was deleted and can be had back.",
    "upload": "Upload files and folders.",
    "warm": "Let pictures be made ahead of time.",
}
"""Those for a running server, likewise in `remote`."""

_INTERRUPTED = 130


class _Commands(click.Group):
    """A group that imports a command when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the signature of click
        return sorted([*_COMMANDS, *_REMOTE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  as above
        if cmd_name not in _COMMANDS and cmd_name not in _REMOTE:
            return None
        place = "imgserve.cli.remote" if cmd_name in _REMOTE else "imgserve.cli"
        return cast("click.Command", importlib.import_module(f"{place}.{cmd_name}").command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))
        with formatter.section("Commands for a running server (--server)"):
            formatter.write_dl(list(_REMOTE.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imgserve")
@click.option("--server", metavar="URL", envvar=SERVER_VARIABLE, show_envvar=True, help="The running server meant.")
@click.option("--key", envvar=KEY_VARIABLE, show_envvar=True, help="API key; other users of this machine may see it.")
@click.pass_context
def cli(ctx: click.Context, server: str | None, key: str | None) -> None:
    """An on-demand resizing image CDN origin server."""
    ctx.obj = Remote(server, key)


def main() -> None:
    """Run a command; an error raised on purpose, or of a file, is one sentence on standard error and exit status 1."""
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
