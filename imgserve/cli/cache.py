"""`imgserve cache`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click

from imgserve.cache import DiskTier
from imgserve.cli.options import config_option
from imgserve.config import Config, write_size

_cache_option = click.option("--cache", "folder", type=click.Path(path_type=Path), help="Folder of renditions.")


@click.group()
def command() -> None:
    """Look after the folder of renditions; safe while servers use it."""


@command.command()
@config_option
@_cache_option
def stats(path: Path | None, folder: Path | None) -> None:
    """Tell how many renditions there are, and how many bytes."""
    with _disk_tier(path, folder) as tier:
        told = tier.stats()
    click.echo(f"{told.entries} renditions, {write_size(told.bytes)} of {write_size(told.limit_bytes)}")


@command.command()
@click.argument("image_id")
@config_option
@_cache_option
def purge(image_id: str, path: Path | None, folder: Path | None) -> None:
    """Remove every rendition of an image from the disk."""
    with _disk_tier(path, folder) as tier:
        click.echo(f"{tier.purge(image_id)} renditions removed")


@command.command()
@config_option
@_cache_option
def sweep(path: Path | None, folder: Path | None) -> None:
    """Compare ledger and folder, remove leftovers, evict what is over the budget."""
    with _disk_tier(path, folder) as tier:
        swept = tier.sweep()
        for _ in tier.scan():
            pass
        tier.evict_to_budget()
        told = tier.stats()
    click.echo(f"{swept} leftovers removed; {told.entries} renditions, {write_size(told.bytes)}")


@contextlib.contextmanager
def _disk_tier(path: Path | None, folder: Path | None) -> Iterator[DiskTier]:
    cache = Config.load(path, overrides={"cache.folder": folder}, options={"cache.folder": "--cache"}).cache
    if not cache.folder.is_dir():
        raise click.ClickException(f"there is no folder of renditions at {cache.folder}")
    tier = DiskTier(cache.folder, cache.disk_bytes, cache.disk_entries)
    yield tier
    tier.close()
