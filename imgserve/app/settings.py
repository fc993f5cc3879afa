"""Convert settings to the plain values that parts are built from."""

import contextlib
import hashlib
import importlib.util
import os
from pathlib import Path

from imgserve.config import Config
from imgserve.download import FetchRules
from imgserve.errors import ConfigError
from imgserve.http.headers import CachePolicy
from imgserve.images.settings import QuerySettings, RenderSettings
from imgserve.library.cdn import Cloudflare, Fastly, Hook, PlainPurge, Varnish
from imgserve.originals.incoming import OWN, hide_from_git
from imgserve.pipeline.order import EncoderSettings
from imgserve.rendering.wire import ProcessLimits
from imgserve.web.respond import UrlOptions


def process_limits(config: Config) -> ProcessLimits:
    """Return the limits of a rendering process; raise ConfigError if faces are to be found without the extra."""
    rendering = config.rendering
    if rendering.faces and importlib.util.find_spec("dlib") is None:
        raise ConfigError(["rendering.faces: it needs a detector: pip install 'imgserve[faces]'"])
    loaders = tuple(config.formats.allow_untrusted)
    return ProcessLimits(rendering.niceness, rendering.memory_bytes, loaders, rendering.sandbox, faces=rendering.faces)


def render_settings(config: Config) -> RenderSettings:
    """Return how pictures are rendered."""
    formats = config.formats
    return RenderSettings(
        config.limits.plain(),
        EncoderSettings(formats.quality.model_dump(), formats.efforts.model_dump(), formats.similarity),
        damaged=formats.on_damage == "decode",
        settle=config.originals.settle,
    )


def url_options(config: Config) -> UrlOptions:
    """Return the settings of URLs and their response headers."""
    http = config.http
    policy = CachePolicy(
        max_age=http.max_age,
        s_maxage=http.s_maxage,
        stale_while_revalidate=http.stale_while_revalidate or None,
        stale_if_error=http.stale_if_error or None,
        immutable=http.immutable,
    )
    return UrlOptions(
        config.urls.prefix,
        policy,
        tag_headers=config.cdn.tag_headers,
        hints=frozenset(config.urls.client_hints),
        placeholders=config.limits.output_side if config.urls.placeholders else 0,
        moved_max_age=http.not_found_max_age,
    )


def query_settings(config: Config) -> QuerySettings:
    """Return the settings that decide what a query means."""
    return QuerySettings(
        config.plain_presets(),
        config.urls.strict,
        config.limits.output_side,
        config.limits.avif_pixels,
        config.formats.quality.model_dump(),
        sizes=tuple(sorted(config.urls.sizes)),
        pass_svg=config.formats.svg == "sanitize",
    )


def data_folder(config: Config) -> Path:
    """Return the folder of the catalog, the admin key and lock files, which may not exist yet.

    By default it is a hidden folder among the originals, so that it moves with them; if they are read-only, it is one
    below XDG_DATA_HOME that is named by them.

    Raises ConfigError if the folder that the settings name cannot be written to.
    """
    chosen, originals = config.originals.data_folder, os.path.realpath(config.originals.folder)
    if chosen is not None:
        if not is_writable(chosen):
            raise ConfigError([f"originals.data_folder: {chosen} cannot be created or written to"])
        return Path(os.path.realpath(chosen))
    beside = Path(originals, OWN)
    if is_writable(beside):
        return beside
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    named = hashlib.sha256(os.fsencode(originals)).hexdigest()[:16]
    return Path(home).expanduser() / "imgserve" / named


def create_data_folder(config: Config, folder: Path) -> None:
    """Create the data folder, hidden from git if it is ours alone; a part that cannot use it reports that."""
    new = not folder.exists()
    with contextlib.suppress(OSError):
        folder.mkdir(0o700, parents=True, exist_ok=True)  # the catalog has hashes of passwords
        # An ignore file would surprise in a folder that is used for other things too.
        if folder.name == OWN or (new and config.originals.data_folder is not None):
            _hide(folder)


def nearest_existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return next(one for one in (path, *path.absolute().parents) if one.exists())


def is_writable(folder: Path) -> bool:
    """Return whether a folder, or the nearest existing one above, can be written to."""
    nearest = nearest_existing(folder)
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _hide(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        hide_from_git(folder, descriptor)
    finally:
        os.close(descriptor)


def catalog_url(config: Config, data: Path) -> str:
    """Return the URL of the catalog's database."""
    return config.catalog.url or f"sqlite:///{data / 'catalog.sqlite'}"


def cdn_hooks(config: Config) -> list[Hook]:
    """Return the purge hooks of the caches in front."""
    cdn = config.cdn
    hooks: list[Hook] = []
    if cdn.cloudflare.zone:
        hooks.append(Cloudflare(cdn.cloudflare.zone, cdn.cloudflare.token.get_secret_value(), cdn.cloudflare.api))
    if cdn.fastly.service:
        token = cdn.fastly.token.get_secret_value()
        hooks.append(Fastly(cdn.fastly.service, token, cdn.fastly.soft, cdn.fastly.api))
    hooks += [Varnish(url) for url in cdn.varnish_urls]
    hooks += [PlainPurge(url, config.urls.prefix) for url in cdn.purge_urls]
    return hooks


def fetch_rules(config: Config) -> FetchRules:
    """Return the limits of downloads."""
    uploads = config.uploads
    return FetchRules(
        config.limits.original_bytes,
        seconds=uploads.fetch_timeout,
        least_rate=uploads.fetch_min_rate,
        ports=frozenset(uploads.fetch_ports),
        networks=tuple(map(str, uploads.fetch_networks)),
    )
