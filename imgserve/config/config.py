"""The settings as a whole, and the checks that need more than one section."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import InitErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from imgserve.config.access_section import AccessConfig
from imgserve.config.catalog_sections import CatalogConfig
from imgserve.config.cdn_sections import CdnConfig
from imgserve.config.load import load
from imgserve.config.mounts import is_served, real
from imgserve.config.picture_sections import (
    CacheConfig,
    FormatsConfig,
    LimitsConfig,
    OriginalsConfig,
    RenderingConfig,
)
from imgserve.config.presets import PRESETS_SCHEMA, SHIPPED, Presets, read_presets
from imgserve.config.serving_sections import HttpConfig, LogConfig, MetricsConfig, ServerConfig, UrlsConfig
from imgserve.config.upload_section import UploadsConfig
from imgserve.config.values import stated
from imgserve.transform import MAX_SIDE, Preset, parse_preset


class Config(BaseSettings):
    """Every setting of the server; frozen, checked as a whole.

    Made directly it reads neither files nor the environment; `load` does.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        use_attribute_docstrings=True,
        case_sensitive=True,
        enable_decoding=False,
        env_prefix="IMGSERVE_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
    )

    originals: OriginalsConfig = Field(default_factory=OriginalsConfig)
    cache: CacheConfig = Field(default_factory=CacheConfig)
    rendering: RenderingConfig = Field(default_factory=RenderingConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    formats: FormatsConfig = Field(default_factory=FormatsConfig)
    presets: Annotated[Presets, WithJsonSchema(PRESETS_SCHEMA)] = Field(default_factory=lambda: SHIPPED)
    """Parameters under a name: as a mapping or a query; the one called default serves a request without parameters."""
    uploads: UploadsConfig = Field(default_factory=UploadsConfig)
    urls: UrlsConfig = Field(default_factory=UrlsConfig)
    access: AccessConfig = Field(default_factory=AccessConfig)
    catalog: CatalogConfig = Field(default_factory=CatalogConfig)
    http: HttpConfig = Field(default_factory=HttpConfig)
    cdn: CdnConfig = Field(default_factory=CdnConfig)
    server: ServerConfig = Field(default_factory=ServerConfig)
    log: LogConfig = Field(default_factory=LogConfig)
    metrics: MetricsConfig = Field(default_factory=MetricsConfig)

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Self:
        """Read the file, then the environment, then `overrides`, each over the former; ConfigError lists every mistake.

        Without a path, IMGSERVE_CONFIG names the file, else `config.yaml` in the current folder is read where there is
        one. `overrides` is by dotted name, None for not given; `options` tells how the command line calls them.
        """
        environ = os.environ if environ is None else environ
        return load(cls, None if path is None else Path(path), environ, overrides or {}, options or {})

    def plain_presets(self) -> dict[str, Preset]:
        """Give the presets as the values that lower layers take."""
        side = self.limits.output_side
        return {name: parse_preset(preset, max_side=side) for name, preset in self.presets.items()}

    @field_validator("presets", mode="plain")
    @classmethod
    def _check_presets(cls, value: object, info: ValidationInfo) -> Presets:
        limits: LimitsConfig | None = info.data.get("limits")
        return read_presets(value, limits.output_side if limits else MAX_SIDE)

    @field_validator("cache")
    @classmethod
    def _check_folders(cls, cache: CacheConfig, info: ValidationInfo) -> CacheConfig:
        originals: OriginalsConfig | None = info.data.get("originals")
        if not originals or not cache.disk_bytes:
            return cache
        folders = (originals.folder, *originals.folders.values())
        if sentences := list(filter(None, (_overlap(real(folder), real(cache.folder)) for folder in folders))):
            details: list[InitErrorDetails] = [
                {"type": stated(sentence), "loc": ("folder",), "input": str(cache.folder)} for sentence in sentences
            ]
            raise ValidationError.from_exception_data("cache", details)
        return cache

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the names are pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take nothing but what the constructor is given; `load` brings its own sources."""
        return (init_settings,)


def _overlap(originals: Path, cache: Path) -> str:
    """Say why the two folders cannot stand so: renditions would be served as originals, or originals swept."""
    if originals.is_relative_to(cache):
        return f"the folder of originals, {originals}, must not be inside {cache}, where files are deleted"
    if is_served(cache, originals):
        return f"{cache} is inside the folder of originals and would be served; a hidden folder such as .cache is fine"
    return ""
