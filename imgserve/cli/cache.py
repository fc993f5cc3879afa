"""Commands that inspect and clean the folder of renditions."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click

from imgserve.cache import DiskTier, MezzanineTier
from imgserve.cli.main import config_option
from imgserve.cli.output import counted, size_text
from imgserve.config import Config

_cache_option = click.option("--cache", "folder", type=click.Path(path_type=Path), help="Folder of renditions.")


@click.group()
def cache() -> None:
    """Inspect and clean the folder of renditions; safe while servers use it."""


@cache.command()
@config_option
@_cache_option
def stats(path: Path | None, folder: Path | None) -> None:
    """Show the number of renditions and mezzanines, and their bytes."""
    with _opened(path, folder) as tiers:
        for noun, tier in tiers.items():
            click.echo(f"{_holdings(noun, tier)} of {size_text(tier.stats().limit_bytes)}")


@cache.command()
@click.argument("image_id")
@config_option
@_cache_option
def purge(image_id: str, path: Path | None, folder: Path | None) -> None:
    """Remove every rendition and mezzanine of an image from the disk."""
    with _opened(path, folder) as tiers:
        for noun, tier in tiers.items():
            click.echo(f"{counted(tier.purge(image_id), noun)} removed")


@cache.command()
@config_option
@_cache_option
def sweep(path: Path | None, folder: Path | None) -> None:
    """Remove leftovers and evict to the budgets.

    The ledgers are compared with the folders first.
    """
    swept = 0
    with _opened(path, folder) as tiers:
        for tier in tiers.values():
            if not tier.off:
                swept += tier.sweep()
                for _ in tier.scan():
                    pass
                tier.evict_to_budget()
        holdings = [_holdings(noun, tier) for noun, tier in tiers.items()]
    click.echo(f"{counted(swept, 'leftover')} removed; {holdings[0]}")
    click.echo(holdings[1])


def _holdings(noun: str, tier: DiskTier | MezzanineTier) -> str:
    stats = tier.stats()
    return f"{counted(stats.entries, noun)}, {size_text(stats.bytes)}"


@contextlib.contextmanager
def _opened(path: Path | None, folder: Path | None) -> Iterator[dict[str, DiskTier | MezzanineTier]]:
    """Open the tiers of the folder, by what they hold."""
    # No original is read here, and the default folder of originals, the current one, may well contain the cache.
    overrides = {"cache.folder": folder, "originals.folder": os.devnull}
    settings = Config.load(path, overrides=overrides, options={"cache.folder": "--cache"}).cache
    if not settings.folder.is_dir():
        raise click.ClickException(f"there is no folder of renditions at {settings.folder}")
    tiers: dict[str, DiskTier | MezzanineTier] = {
        "rendition": DiskTier(settings.folder, settings.disk_bytes, settings.disk_entries),
        "mezzanine": MezzanineTier(settings.folder, settings.mezzanine_bytes),
    }
    yield tiers
    for tier in tiers.values():
        tier.close()
