"""The command that starts the server."""

import asyncio
import contextlib
import itertools
import logging
import os
import resource
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from imgserve import __version__
from imgserve.access.admin_key import create_key, key_file
from imgserve.app import (
    AppFactory,
    configure_logging,
    create_data_folder,
    data_folder,
    first_link,
    originals_of,
    server_processes,
    withdraw_link,
)
from imgserve.cache.verify import whole_format
from imgserve.cli.main import config_option
from imgserve.config import Config
from imgserve.config.load import settings_file
from imgserve.errors import ImgserveError
from imgserve.http.headers import quoted_id
from imgserve.server.connection import Timeouts
from imgserve.server.process import ServerOptions
from imgserve.server.supervisor import run

OPTIONS = {
    "originals.folder": "ORIGINALS",
    "originals.data_folder": "--data",
    "cache.folder": "--cache",
    "server.host": "--host",
    "server.port": "--port",
    "server.workers": "--workers",
}
_EXAMPLES, _LOOKED_AT, _LOOKED_AT_BYTES = 3, 12, 20_000_000
_COLUMNS = 79
_OTHER_DESCRIPTORS = 256
"""For originals, cache, ledger, rendering processes, logs."""

_log = logging.getLogger(__name__)


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name the folders of a server."""
    for option in (
        click.option("--data", type=click.Path(path_type=Path), help="Folder of the catalog and the hash of the key."),
        config_option,
        click.argument("originals", required=False, type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


def folder_config(path: Path | None, values: Mapping[str, object]) -> Config:
    """Return the settings of the server of a folder; raise ClickException if there is no such folder of originals."""
    config = Config.load(path, overrides=values, options=OPTIONS)
    if not config.originals.folder.is_dir():
        raise click.ClickException(f"there is no folder of originals at {config.originals.folder}")
    return config


@click.command()
@options
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of renditions.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 for any free one.")
@click.option("--workers", metavar="N|auto", help="Server processes.")
def serve(  # noqa: PLR0917  one argument an option
    originals: Path | None,
    path: Path | None,
    data: Path | None,
    cache: Path | None,
    host: str | None,
    port: int | None,
    workers: str | None,
) -> None:
    """Serve the pictures of a folder (default: the current one)."""
    values = (originals, data, cache, host, port, workers)
    config = folder_config(path, dict(zip(OPTIONS, values, strict=True)))
    configure_logging(config)
    own = data_folder(config)
    _log.info("originals in %s, data in %s (--data for another folder)", config.originals.folder, own)
    _log.info("settings: %s", settings_file(path, os.environ) or "the defaults (no imgserve.yaml in this folder)")
    key, shown = None, False
    if not config.access.admin_key.get_secret_value():
        with contextlib.suppress(OSError):  # the server reports it
            create_data_folder(config, own)
            key = create_key(own)
    link = asyncio.run(first_link(config))

    def announce(address: str) -> None:
        nonlocal shown
        shown = True
        folders = [*([str(originals)] if originals else []), *(["--config", str(path)] if path else [])]
        folders += ["--data", str(data)] if data else []
        click.echo(_banner(config, address, key, link, folders), err=True)

    status = run(AppFactory(config), _server_options(config), announce)
    if key and not shown:
        key_file(own).unlink(missing_ok=True)  # nobody has seen the key
    if link and not shown:
        asyncio.run(withdraw_link(config))
    sys.exit(status)


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


def _banner(config: Config, address: str, key: str | None, link: str | None, folders: list[str]) -> str:
    """Return the box that says what to open, and how to use the API."""
    line = "\u2500" * _COLUMNS
    rows = [line, f"imgserve {__version__} serves {config.originals.folder.resolve()}", ""]
    address = address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    rows += [f"Open      {address}/", f"API docs  {address}/docs/api"]
    found = _examples(config)
    rows += [f"Picture   {address}{config.urls.prefix}/{quoted_id(one)}?width=400&auto=format" for one in found]
    if not found:
        rows.append("Pictures  none yet: copy some into the folder, and they are served at once")
    if key:
        rows += ["API key   shown only now; it gives full access. For the imgserve commands in another terminal:", ""]
        rows += [f"export IMGSERVE_SERVER={address} IMGSERVE_KEY={key}", ""]
    elif config.access.admin_key.get_secret_value():
        rows.append("API key   the one of the setting access.admin_key")
    else:
        usable = key_file(data_folder(config)).exists()
        rows.append(
            f"API key   {'shown at the first start, and stored only as a hash' if usable else 'none: see the log'}"
        )
    if not config.access.admin_key.get_secret_value():
        rows.append(f"New key   {shlex.join(['imgserve', 'keys', 'reset', *folders])}")
    if config.access.admin != "off":
        rows += _admin_rows(address, link, folders)
    return "\n".join([*rows, line])


def _examples(config: Config) -> list[str]:
    """Return the ids of some originals, those of complete files if there are any among the first ones."""
    originals, limit = originals_of(config), min(config.limits.original_bytes, _LOOKED_AT_BYTES)

    def is_whole(image_id: str) -> bool:
        try:
            found = originals.stat(image_id)
            return found.size <= limit and whole_format(image_id.lower(), Path(found.path).read_bytes()) is not None
        except (ImgserveError, OSError):
            return False

    first = list(itertools.islice(originals.list(), _LOOKED_AT))
    return list(itertools.islice(filter(is_whole, first), _EXAMPLES)) or first[:_EXAMPLES]


def _admin_rows(address: str, link: str | None, folders: list[str]) -> list[str]:
    """Return the lines about the admin page, with the link that creates the first account."""
    rows = [f"Admin     {address}/admin/"]
    if link:
        rows.append("          first create an account: this link is shown only now, and valid once in 24 h")
        rows += ["", f"{address}/admin/setup?token={link}", ""]
    return [*rows, f"New link  {shlex.join(['imgserve', 'accounts', 'link', *folders])}"]
