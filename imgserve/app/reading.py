"""Reads from the settings the plain values that parts are built from."""

from imgserve.config import Config
from imgserve.pipeline.encode import EncoderSettings
from imgserve.pipeline.process import Discipline
from imgserve.services.renditions import Recipe
from imgserve.web.cache_headers import CachePolicy
from imgserve.web.wanted import UrlOptions


def discipline(config: Config) -> Discipline:
    """Read what a rendering process may take from the machine."""
    rendering = config.rendering
    return Discipline(rendering.niceness, rendering.memory_bytes, tuple(config.formats.allow_untrusted))


def recipe(config: Config) -> Recipe:
    """Read how pictures are rendered."""
    formats = config.formats
    return Recipe(
        discipline(config),
        config.limits.plain(),
        EncoderSettings(formats.quality.model_dump(), formats.efforts.model_dump()),
        damaged=formats.on_damage == "decode",
        settle=config.originals.settle,
    )


def url_options(config: Config) -> UrlOptions:
    """Read what decides about the meaning of a URL."""
    http = config.http
    policy = CachePolicy(
        max_age=int(http.max_age),
        s_maxage=None if http.s_maxage is None else int(http.s_maxage),
        stale_while_revalidate=int(http.stale_while_revalidate) or None,
        stale_if_error=int(http.stale_if_error) or None,
        immutable=http.immutable,
    )
    return UrlOptions(
        config.urls.prefix,
        config.plain_presets(),
        config.urls.strict,
        config.limits.output_side,
        config.limits.avif_pixels,
        config.formats.quality.model_dump(),
        policy,
        sizes=tuple(sorted(config.urls.sizes)),
        pass_svg=config.formats.svg == "sanitize",
    )
