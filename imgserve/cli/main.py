"""The command line: a table of commands, each imported when it runs."""

import gc
import importlib
import sys
from dataclasses import dataclass, field, replace
from keyword import iskeyword
from pathlib import Path
from typing import Any, cast

import click
from click.shell_completion import CompletionItem, get_completion_class

from imgserve import __version__
from imgserve.errors import ImgserveError, suggestion

SERVER_VARIABLE = "IMGSERVE_SERVER"
KEY_VARIABLE = "IMGSERVE_KEY"

config_option = click.option("--config", "path", type=click.Path(path_type=Path), help="Settings file (YAML).")

_LOCAL = {
    "accounts": ("accounts", "Create, list and remove accounts of people; safe while servers run."),
    "cache": ("cache", "Inspect and clean the folder of renditions; safe while servers use it."),
    "completion": ("main", "Print the completion script of a shell."),
    "config": ("local", "Check and describe the settings."),
    "doctor": ("local", "Check the settings and this machine."),
    "keys": ("keys", "Create, list and revoke API keys, and replace the admin key."),
    "render": ("local", "Render one picture without a server."),
    "samples": ("local", "Copy the sample pictures into a folder."),
    "serve": ("serve", "Serve the pictures of a folder (default: the current one)."),
    "sign": ("signing", "Sign the URL of a picture."),
    "url": ("renditions", "Print the URL of a picture on a server."),
}
"""Commands that work on this machine: name, module and short help."""

_REMOTE = {
    "abuse": ("keys", "List who causes rejections, new renditions and traffic."),
    "audit": ("keys", "Show who changed what."),
    "change": ("images", "Change the title, tags, focal point and other fields of an image."),
    "convert": ("renditions", "Save a picture in another format."),
    "delete": ("trash", "Move images to the trash."),
    "duplicates": ("images", "List images with identical bytes."),
    "find": ("images", "List images by words, tags, sizes and times."),
    "import": ("imports", "Import images from a table of URLs."),
    "mv": ("images", "Move an image, or a folder of images, to another id."),
    "presets": ("renditions", "List, set and remove presets."),
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
_COMPLETE = "_IMGSERVE_COMPLETE"
"""The variable by which a shell asks for completions."""


@dataclass(frozen=True, slots=True)
class Remote:
    """The server and the key that the command line or the environment names."""

    server: str | None
    key: str | None = field(repr=False)


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Store an option of the connection, which may be before or after the name of the command."""
    if value is not None and param.name:
        ctx.obj = replace(ctx.obj or Remote(None, None), **{param.name: value})


def connection_options(*, environment: bool) -> list[click.Parameter]:
    """Return the options that name the server and the key; the environment is read once, by those of `imgserve`."""
    shared: dict[str, Any] = {"expose_value": False, "callback": _remember, "show_envvar": True}
    return [
        click.Option(
            ["--server"],
            metavar="URL",
            help="URL of the running server.",
            envvar=SERVER_VARIABLE if environment else None,
            **shared,
        ),
        click.Option(
            ["--key"],
            help="API key; visible to other users of this machine if set here.",
            envvar=KEY_VARIABLE if environment else None,
            **shared,
        ),
    ]


class _Commands(click.Group):
    """A group that imports a command when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return sorted([*_LOCAL, *_REMOTE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        found = (_LOCAL | _REMOTE).get(cmd_name)
        if found is None:
            return None
        function = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        gc.disable()  # while modules load, hardly anything is garbage
        try:
            command = cast("click.Command", getattr(importlib.import_module(f"imgserve.cli.{found[0]}"), function))
        finally:
            gc.freeze()
            gc.enable()
        if cmd_name in _REMOTE and "server" not in {param.name for param in command.params}:
            command.params += connection_options(environment=False)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"no command {args[0]!r}{suggestion(args[0], self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands without importing them."""
        commands = sorted((_LOCAL | _REMOTE).items())
        found = [CompletionItem(name, help=text) for name, (_, text) in commands if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        for title, commands in (("Commands", _LOCAL), ("Commands for a running server (--server)", _REMOTE)):
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, params=connection_options(environment=True)
)
@click.version_option(__version__, prog_name="imgserve")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """An on-demand resizing image CDN origin server."""
    ctx.obj = ctx.obj or Remote(None, None)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands and options in a shell.

    \b
    bash:  eval "$(imgserve completion bash)"          in ~/.bashrc
    zsh:   eval "$(imgserve completion zsh)"           in ~/.zshrc, after compinit
    fish:  imgserve completion fish | source           in ~/.config/fish/config.fish
    """  # noqa: D301  click reads the character
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"there is no completion for {shell}")
    click.echo(kind(cli, {}, "imgserve", _COMPLETE).source())


def main() -> None:
    """Run a command. An expected error prints one sentence to standard error and exits with status 1."""
    try:
        cli.main(prog_name="imgserve", complete_var=_COMPLETE, standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(_INTERRUPTED)
    except click.UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"imgserve: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except ImgserveError as error:
        click.echo(f"imgserve: {error.detail}", err=True)
        sys.exit(1)
    except OSError as error:
        name = f"{error.filename}: " if error.filename is not None else ""
        click.echo(f"imgserve: {name}{error.strerror or error}", err=True)
        sys.exit(1)
