"""Commands that inspect and clean the folder of renditions."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from imgserve.cache import DiskTier, MezzanineTier, TierStats
from imgserve.cli.main import config_option
from imgserve.config import Config, write_size

_cache_option = click.option("--cache", "folder", type=click.Path(path_type=Path), help="Folder of renditions.")


@dataclass(frozen=True, slots=True)
class _Tiers:
    """The tiers in the folder."""

    renditions: DiskTier
    mezzanines: MezzanineTier


@click.group()
def cache() -> None:
    """Inspect and clean the folder of renditions; safe while servers use it."""


@cache.command()
@config_option
@_cache_option
def stats(path: Path | None, folder: Path | None) -> None:
    """Show the number of renditions and mezzanines, and their bytes."""
    with _opened(path, folder) as tiers:
        renditions, mezzanines = tiers.renditions.stats(), tiers.mezzanines.stats()
    click.echo(f"{_holdings('renditions', renditions)} of {write_size(renditions.limit_bytes)}")
    click.echo(f"{_holdings('mezzanines', mezzanines)} of {write_size(mezzanines.limit_bytes)}")


@cache.command()
@click.argument("image_id")
@config_option
@_cache_option
def purge(image_id: str, path: Path | None, folder: Path | None) -> None:
    """Remove every rendition and mezzanine of an image from the disk."""
    with _opened(path, folder) as tiers:
        click.echo(f"{tiers.renditions.purge(image_id)} renditions removed")
        click.echo(f"{tiers.mezzanines.purge(image_id)} mezzanines removed")


@cache.command()
@config_option
@_cache_option
def sweep(path: Path | None, folder: Path | None) -> None:
    """Remove leftovers and evict to the budgets.

    The ledgers are compared with the folders first.
    """
    with _opened(path, folder) as tiers:
        swept = _sweep(tiers.renditions) + _sweep(tiers.mezzanines)
        renditions, mezzanines = tiers.renditions.stats(), tiers.mezzanines.stats()
    click.echo(f"{swept} leftovers removed; {_holdings('renditions', renditions)}")
    click.echo(_holdings("mezzanines", mezzanines))


def _sweep(tier: DiskTier | MezzanineTier) -> int:
    if tier.off:
        return 0
    swept = tier.sweep()
    for _ in tier.scan():
        pass
    tier.evict_to_budget()
    return swept


def _holdings(noun: str, stats: TierStats) -> str:
    return f"{stats.entries} {noun}, {write_size(stats.bytes)}"


@contextlib.contextmanager
def _opened(path: Path | None, folder: Path | None) -> Iterator[_Tiers]:
    settings = Config.load(path, overrides={"cache.folder": folder}, options={"cache.folder": "--cache"}).cache
    if not settings.folder.is_dir():
        raise click.ClickException(f"there is no folder of renditions at {settings.folder}")
    tiers = _Tiers(
        DiskTier(settings.folder, settings.disk_bytes, settings.disk_entries),
        MezzanineTier(settings.folder, settings.mezzanine_bytes),
    )
    yield tiers
    tiers.renditions.close()
    tiers.mezzanines.close()
