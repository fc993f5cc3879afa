"""The command that starts the server."""

import itertools
import logging
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import click

from imgserve.app import AppFactory, configure_logging, data_folder, originals_of, server_processes
from imgserve.cli.main import config_option
from imgserve.client.urls import quoted_id
from imgserve.config import Config
from imgserve.server.connection import Timeouts
from imgserve.server.process import ServerOptions
from imgserve.server.supervisor import run

_OPTIONS = {
    "originals.folder": "ORIGINALS",
    "cache.folder": "--cache",
    "originals.data_folder": "--data",
    "server.host": "--host",
    "server.port": "--port",
    "server.workers": "--workers",
}
_EXAMPLES = 3
_OTHER_DESCRIPTORS = 256
"""For originals, cache, ledger, rendering processes, logs."""

_log = logging.getLogger(__name__)


@click.command()
@click.argument("originals", required=False, type=click.Path(path_type=Path))
@config_option
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of renditions.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the catalog and the admin key.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 for any free one.")
@click.option("--workers", metavar="N|auto", help="Server processes.")
def serve(  # noqa: PLR0917  one argument an option
    originals: Path | None,
    path: Path | None,
    cache: Path | None,
    data: Path | None,
    host: str | None,
    port: int | None,
    workers: str | None,
) -> None:
    """Serve the pictures of a folder (default: the current one)."""
    values = (originals, cache, data, host, port, workers)
    config = Config.load(path, overrides=dict(zip(_OPTIONS, values, strict=True)), options=_OPTIONS)
    configure_logging(config)
    if not config.originals.folder.is_dir():
        raise click.ClickException(f"there is no folder of originals at {config.originals.folder}")
    _log.info("originals in %s, data in %s (--data for another folder)", config.originals.folder, data_folder(config))
    sys.exit(run(AppFactory(config), _server_options(config), _announcement(config)))


def _server_options(config: Config) -> ServerOptions:
    """Return the options of the server.

    The limit of open files is raised to what the connections need; if the system allows less, it limits them.
    """
    server, (soft, hard) = config.server, resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = server.max_connections + _OTHER_DESCRIPTORS
    if soft < needed:
        soft = min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return ServerOptions(
        host=server.host,
        port=server.port,
        workers=server_processes(config),
        timeouts=Timeouts(server.header_timeout, server.body_timeout, server.keep_alive, server.slow_reader_timeout),
        max_connections=max(1, min(server.max_connections, soft - _OTHER_DESCRIPTORS)),
        grace=server.grace,
        forwarded_allow_ips=tuple(map(str, server.trusted_proxies)),
    )


def _announcement(config: Config) -> Callable[[str], None]:
    """Return a function that prints the URLs of the first few originals."""

    def announce(address: str) -> None:
        places = originals_of(config)
        if not address.startswith("http"):
            return  # a Unix socket has no URL to open
        click.echo(f"Serving {config.originals.folder.resolve()}. Open {address}/ or", err=True)
        for image_id in itertools.islice(places.list(), _EXAMPLES):
            click.echo(f"  {address}{config.urls.prefix}/{quoted_id(image_id)}?width=400&auto=format", err=True)

    return announce
