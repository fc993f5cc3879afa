"""Builds the places of originals from the settings."""

from pathlib import Path

from imgserve.config import Config
from imgserve.originals.folder import FolderOriginals
from imgserve.originals.mounted import MountedOriginals
from imgserve.originals.tree import OriginalsTree


def originals_of(config: Config) -> MountedOriginals:
    """Build the folders of originals as one: the main one, and others below their prefixes."""
    mounts = {prefix: _folder(config, path) for prefix, path in config.originals.folders.items()}
    return MountedOriginals(_folder(config, config.originals.folder), mounts)


def tree_of(config: Config) -> OriginalsTree:
    """Build what is watched: the same folders."""
    folders = {"": config.originals.folder, **config.originals.folders}
    return OriginalsTree(folders, follow_links=config.originals.follow_links)


def refused_formats(config: Config) -> tuple[str, ...]:
    """Tell which formats of originals are not served."""
    return ("svg",) if config.formats.svg == "off" else ()


def _folder(config: Config, path: Path) -> FolderOriginals:
    return FolderOriginals(
        path,
        settle=config.originals.settle,
        follow_links=config.originals.follow_links,
        refused=refused_formats(config),
    )
