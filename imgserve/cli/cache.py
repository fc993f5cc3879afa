"""Commands that inspect and clean the cache folder."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from imgserve.app import originals_of
from imgserve.cache import DiskTier, MezzanineTier
from imgserve.cache.key import image_folder, transform_text
from imgserve.cache.ledger import Entry, Order
from imgserve.cli.main import config_option
from imgserve.cli.output import counted, echo, echo_all, json_option, size_text, time_text
from imgserve.config import Config
from imgserve.config.load import settings_file

_cache_option = click.option("--cache", "folder", type=click.Path(path_type=Path), help="Folder of renditions.")
_Tiers = dict[str, DiskTier | MezzanineTier]


@dataclass(frozen=True, slots=True)
class _Usage:
    """What a tier holds."""

    tier: str
    entries: int
    bytes: int
    limit_bytes: int
    oldest: datetime | None
    """The last use of the file that was not used for the longest time."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file of a tier."""

    image_id: str | None
    """None if no original has this hash."""
    file: str
    transform: str | None
    """None if it is too long for the name of a file."""
    format: str
    bytes: int
    width: int
    height: int
    used: datetime


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a command has done to a tier."""

    tier: str
    removed: int
    entries: int
    bytes: int


@click.group()
def cache() -> None:
    """Inspect and clean the cache folder; safe while servers use it."""


@cache.command()
@config_option
@_cache_option
@json_option
def stats(path: Path | None, folder: Path | None, *, as_json: bool) -> None:
    """Show how many renditions and mezzanines there are.

    Also their bytes, and when the least recently used one was last used.
    """
    with _opened(path, folder) as (tiers, _):
        echo_all([_usage(noun, tier) for noun, tier in tiers.items()], _usage_line, as_json=as_json)


@cache.command()
@click.argument("image_ids", nargs=-1)
@click.option(
    "--sort",
    "order",
    type=click.Choice(["size", "age", "original"]),
    default="age",
    show_default=True,
    help="Largest first, longest unused first, or by original.",
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Maximum number of files.")
@click.option("--mezzanines", is_flag=True, help="List mezzanines instead of renditions.")
@click.option("--originals", type=click.Path(path_type=Path), help="Folder of originals, whose ids are shown.")
@config_option
@_cache_option
@json_option
def ls(  # noqa: PLR0917  one argument an option
    image_ids: Sequence[str],
    order: Order,
    limit: int,
    originals: Path | None,
    path: Path | None,
    folder: Path | None,
    *,
    mezzanines: bool,
    as_json: bool,
) -> None:
    """List renditions, of some images or of all."""
    with _opened(path, folder, originals) as (tiers, config):
        tier = tiers["mezzanine" if mezzanines else "rendition"]
        entries = tier.sorted_by(order, limit, image_ids)
        names = _ids(entries, image_ids, config)
        echo_all(
            [_stored(entry, names) for entry in entries],
            _stored_line,
            as_json=as_json,
            header=f"{'SIZE':>9} {'PIXELS':>11}  {'USED':16}  {'FORMAT':6}  ID  TRANSFORM",
            none="nothing is stored",
        )


@cache.command()
@click.argument("image_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Remove those of all images.")
@config_option
@_cache_option
@json_option
def purge(image_ids: Sequence[str], path: Path | None, folder: Path | None, *, everything: bool, as_json: bool) -> None:
    """Remove the renditions and mezzanines of images from the disk.

    The memory of running servers and caches in front are purged by `imgserve --server URL purge`.
    """
    if bool(image_ids) == everything:
        raise click.UsageError("name images, or purge those of --all")
    with _opened(path, folder) as (tiers, _):
        done = []
        for noun, tier in tiers.items():
            removed = tier.purge(None) if everything else sum(map(tier.purge, image_ids))
            done.append(_outcome(noun, tier, removed))
        echo_all(done, lambda one: f"{counted(one.removed, one.tier)} removed", as_json=as_json)


@cache.command()
@config_option
@_cache_option
@json_option
def sweep(path: Path | None, folder: Path | None, *, as_json: bool) -> None:
    """Remove leftover files, and evict what exceeds the budgets.

    Files that were added or removed by hand are counted first.
    """
    with _opened(path, folder) as (tiers, _):
        done = []
        for noun, tier in tiers.items():
            removed = 0 if tier.off else tier.sweep()
            if not tier.off:
                _compare(tier)
                tier.evict_to_budget()
            done.append(_outcome(noun, tier, removed))
        echo_all(
            done,
            lambda one: f"{counted(one.removed, 'leftover')} removed; {_holdings(one.tier, one.entries, one.bytes)}",
            as_json=as_json,
        )


@cache.command()
@click.option("--dry-run", is_flag=True, help="Report damaged files without removing them.")
@config_option
@_cache_option
@json_option
def verify(path: Path | None, folder: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Read every file, and remove those that are damaged.

    They are rendered again on demand. The exit status is 1 if there was a damaged file.
    """
    damaged = 0
    with _opened(path, folder) as (tiers, _):
        for noun, tier in tiers.items():
            if tier.off:
                continue
            bad = 0
            for entry, sound in tier.verify(repair=not dry_run):
                bad += not sound
                if not sound:
                    echo(f"damaged: {entry.path}", err=True)
            damaged += bad
            if not dry_run:
                _compare(tier)
            done = _outcome(noun, tier, 0 if dry_run else bad)
            line = f"{_holdings(noun, done.entries, done.bytes)}; {bad} damaged{'' if dry_run else ' and removed'}"
            echo_all([done], lambda _, line=line: line, as_json=as_json)  # type: ignore[misc]  # bound now
    if damaged:
        sys.exit(1)


def _compare(tier: DiskTier | MezzanineTier) -> None:
    """Compare the ledger with the folder."""
    for _ in tier.scan():
        pass


def _usage(noun: str, tier: DiskTier | MezzanineTier) -> _Usage:
    stats, oldest = tier.stats(), tier.sorted_by("age", 1)
    return _Usage(noun, stats.entries, stats.bytes, stats.limit_bytes, _moment(oldest[0].used) if oldest else None)


def _usage_line(usage: _Usage) -> str:
    text = f"{_holdings(usage.tier, usage.entries, usage.bytes)} of {size_text(usage.limit_bytes)}"
    return f"{text}, least recently used {time_text(usage.oldest)}" if usage.oldest else text


def _outcome(noun: str, tier: DiskTier | MezzanineTier, removed: int) -> _Outcome:
    stats = tier.stats()
    return _Outcome(noun, removed, stats.entries, stats.bytes)


def _holdings(noun: str, entries: int, size: int) -> str:
    return f"{counted(entries, noun)}, {size_text(size)}"


def _ids(entries: Sequence[Entry], image_ids: Sequence[str], config: Config) -> dict[str, str]:
    """Return the ids of images by the last part of their folders, which is a hash."""
    wanted = {_hash(entry) for entry in entries}
    known = image_ids or (originals_of(config).list() if config.originals.folder.is_dir() else ())
    pairs = ((image_folder(one).rpartition("/")[2], one) for one in known)
    return {digest: one for digest, one in pairs if digest in wanted}


def _stored(entry: Entry, ids: dict[str, str]) -> _Stored:
    kind = entry.media_type.removeprefix("image/")
    text = transform_text(entry.path.rpartition("/")[2])
    size = entry.size, entry.width, entry.height
    return _Stored(ids.get(_hash(entry)), entry.path, text, kind, *size, _moment(entry.used))


def _stored_line(one: _Stored) -> str:
    extent, known = f"{one.width}x{one.height}", one.image_id or one.file.split("/")[2]
    text = "(too long)" if one.transform is None else one.transform
    return f"{size_text(one.bytes):>9} {extent:>11}  {time_text(one.used)}  {one.format:6}  {known}  {text}"


def _hash(entry: Entry) -> str:
    return entry.path.split("/")[2]


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


@contextlib.contextmanager
def _opened(path: Path | None, folder: Path | None, originals: Path | None = None) -> Iterator[tuple[_Tiers, Config]]:
    """Open the tiers of the folder, by what they hold."""
    if originals is None and not settings_file(path, os.environ) and "IMGSERVE_ORIGINALS__FOLDER" not in os.environ:
        # The default folder of originals, the current one, may well contain the cache.
        originals = Path(os.devnull)
    overrides = {"cache.folder": folder, "originals.folder": originals}
    names = {"cache.folder": "--cache", "originals.folder": "--originals"}
    config = Config.load(path, overrides=overrides, options=names)
    settings = config.cache
    if not settings.folder.is_dir():
        raise click.ClickException(
            f"there is no cache folder {settings.folder}: pass --cache with the folder that the server uses"
        )
    tiers: _Tiers = {
        "rendition": DiskTier(settings.folder, settings.disk_bytes, settings.disk_entries),
        "mezzanine": MezzanineTier(settings.folder, settings.mezzanine_bytes),
    }
    try:
        yield tiers, config
    finally:
        for tier in tiers.values():
            tier.close()
