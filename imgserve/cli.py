"""The command line: reads settings, calls what does the work, prints."""

import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click

from imgserve import __version__
from imgserve import config as settings
from imgserve.app import AppFactory, configure_logging, recipe
from imgserve.cache import DiskTier
from imgserve.config import Config, write_size
from imgserve.errors import ImgserveError
from imgserve.formats import BY_EXTENSION
from imgserve.originals.folder import FolderOriginals
from imgserve.pipeline import vips
from imgserve.pipeline.render import render as render_bytes
from imgserve.pipeline.samples import draw_samples
from imgserve.transform import parse_query
from imgserve.web.gate import Timeouts
from imgserve.web.process import ServerOptions
from imgserve.web.server import run

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = {
    "originals.folder": "ORIGINALS",
    "cache.folder": "--cache",
    "server.host": "--host",
    "server.port": "--port",
    "server.workers": "--workers",
}
_EXAMPLES = 3

_config_option = click.option("--config", "path", type=click.Path(path_type=Path), help="Settings file (YAML).")


def main() -> None:
    """Run a command; an error raised on purpose is one sentence on standard error and exit status 1."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ImgserveError as error:
        click.echo(f"imgserve: {error.detail}", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imgserve")
def cli() -> None:
    """An on-demand resizing image CDN origin server."""


@cli.command()
@click.argument("originals", required=False, type=click.Path(path_type=Path))
@_config_option
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of renditions.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 for any free one.")
@click.option("--workers", type=int, help="Server processes.")
def serve(  # noqa: PLR0917  one argument an option
    originals: Path | None,
    path: Path | None,
    cache: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
) -> None:
    """Serve the pictures of a folder (default: the current one)."""
    values = (originals, cache, host, port, workers)
    config = Config.load(path, overrides=dict(zip(_OPTIONS, values, strict=True)), options=_OPTIONS)
    configure_logging(config)
    if not config.originals.folder.is_dir():
        raise click.ClickException(f"there is no folder of originals at {config.originals.folder}")
    sys.exit(run(AppFactory(config), _server_options(config), _announcement(config)))


@cli.command()
@click.argument("original", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("rendition", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("parameters", default="")
@_config_option
def render(original: Path, rendition: Path, parameters: str, path: Path | None) -> None:
    """Make one picture without a server, such as: render shoe.jpg small.webp "width=400".

    The format is the one of PARAMETERS, else of the extension of RENDITION; its name "-" is standard output.
    """
    config = Config.load(path)
    asked = parse_query(parameters, strict=True, presets=config.plain_presets(), max_side=config.limits.output_side)
    transform = asked.transform
    named = BY_EXTENSION.get(rendition.suffix[1:].lower())
    if transform.format is None and named is not None and named.writable:
        transform = replace(transform, format=named.name)
    vips.prepare(config.formats.allow_untrusted)
    how = recipe(config)
    made = render_bytes(original.read_bytes(), transform, limits=how.limits, encoders=how.encoders, damaged=how.damaged)
    if str(rendition) == "-":
        sys.stdout.buffer.write(made.data)
    else:
        rendition.write_bytes(made.data)
    summary = f"{rendition}: {made.width}x{made.height} {made.media_type}, {len(made.data)} bytes"
    click.echo("; ".join([summary, *asked.notes, *made.notes]), err=True)


@cli.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def samples(folder: Path) -> None:
    """Draw sample pictures into a folder, to try the server with."""
    for drawn in draw_samples(folder):
        click.echo(drawn)


@cli.group("cache")
def cache_group() -> None:
    """Look after the folder of renditions; safe while servers use it."""


@cache_group.command()
@_config_option
def stats(path: Path | None) -> None:
    """Tell how many renditions there are, and how many bytes."""
    with _disk_tier(path) as tier:
        told = tier.stats()
    click.echo(f"{told.entries} renditions, {write_size(told.bytes)} of {write_size(told.limit_bytes)}")


@cache_group.command()
@click.argument("image_id")
@_config_option
def purge(image_id: str, path: Path | None) -> None:
    """Remove every rendition of an image from the disk."""
    with _disk_tier(path) as tier:
        click.echo(f"{tier.purge(image_id)} renditions removed")


@cache_group.command()
@_config_option
def sweep(path: Path | None) -> None:
    """Compare ledger and folder, remove leftovers, evict what is over the budget."""
    with _disk_tier(path) as tier:
        swept = tier.sweep()
        for _ in tier.scan():
            pass
        tier.evict_to_budget()
        told = tier.stats()
    click.echo(f"{swept} leftovers removed; {told.entries} renditions, {write_size(told.bytes)}")


@contextlib.contextmanager
def _disk_tier(path: Path | None) -> Iterator[DiskTier]:
    cache = Config.load(path).cache
    if not cache.folder.is_dir():
        raise click.ClickException(f"there is no folder of renditions at {cache.folder}")
    tier = DiskTier(cache.folder, cache.disk_bytes, cache.disk_entries)
    yield tier
    tier.close()


@cli.group("config")
def config_group() -> None:
    """Check and describe the settings."""


@config_group.command()
@_config_option
def check(path: Path | None) -> None:
    """Read the settings as the server would, and list every mistake."""
    Config.load(path)
    click.echo("The settings are fine.")


@config_group.command()
def example() -> None:
    """Print a settings file with every setting, its meaning and its default."""
    click.echo(settings.example(), nl=False)


@config_group.command()
def schema() -> None:
    """Print the JSON Schema of the settings file, for editors."""
    click.echo(json.dumps(settings.schema(), indent=2))


def _server_options(config: Config) -> ServerOptions:
    server = config.server
    return ServerOptions(
        host=server.host,
        port=server.port,
        workers=server.workers,
        timeouts=Timeouts(server.header_timeout, server.body_timeout, server.keep_alive, server.slow_reader_timeout),
        max_connections=server.max_connections,
        grace=server.grace,
        forwarded_allow_ips=tuple(map(str, server.trusted_proxies)),
    )


def _announcement(config: Config) -> Callable[[str], None]:
    """Print where the first few originals can be seen, once the server listens."""

    def announce(address: str) -> None:
        originals = FolderOriginals(config.originals.folder)
        if not address.startswith("http"):
            return  # a Unix socket has no URL to open
        click.echo(f"Serving {config.originals.folder.resolve()}. Open {address}/ or", err=True)
        for image_id in itertools.islice(originals.list(), _EXAMPLES):
            name = quote(image_id.encode("utf-8", "surrogateescape"))
            click.echo(f"  {address}{config.urls.prefix}/{name}?width=400&auto=format", err=True)

    return announce
