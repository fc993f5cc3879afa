"""The settings as a whole, and the checks that involve several sections."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import InitErrorDetails

from imgserve.config.imports import ImportsConfig, JobsConfig
from imgserve.config.load import load
from imgserve.config.pictures import (
    CacheConfig,
    FormatsConfig,
    LimitsConfig,
    OriginalsConfig,
    RenderingConfig,
    is_served,
    real,
)
from imgserve.config.rules import RulesConfig, SiteConfig
from imgserve.config.sections import (
    AccessConfig,
    CatalogConfig,
    CdnConfig,
    HttpConfig,
    RatesConfig,
    ServerConfig,
    SigningConfig,
    UploadsConfig,
    UrlsConfig,
)
from imgserve.config.table import SettingsSection, effective
from imgserve.config.telemetry import LogConfig, MetricsConfig, TracingConfig
from imgserve.config.values import Section, detail
from imgserve.errors import BadTransform
from imgserve.transform import BUILT_IN_PRESETS, MAX_SIDE, Preset, link_presets, parse_preset
from imgserve.transform.presets import BUILT_IN, NAME, NAME_RULE
from imgserve.validation import expected, stated

Presets = Mapping[str, str | Mapping[str, Any]]
"""By name in lower case: parameters and values, or a query."""
SHIPPED: Presets = {"default": BUILT_IN["default"]}
"""The preset of a request without parameters."""
PRESETS_SCHEMA = {
    "type": "object",
    "propertyNames": {"pattern": f"^(?i:{NAME.pattern})$"},
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "object"}]},
}


def _mistakes(
    presets: Mapping[Any, Any], max_side: int, below: Mapping[str, Preset] = BUILT_IN_PRESETS
) -> Iterator[InitErrorDetails]:
    """Yield the mistakes of presets: of single parameters, or else of a preset as a whole, or else between several."""
    good = dict[str, Preset]()
    for name, preset in presets.items():
        key = str(name).lower()
        if not NAME.fullmatch(key):
            yield detail(stated(NAME_RULE), name)
        elif key in good:
            yield detail(stated("another preset has this name in other case"), name)
        elif not isinstance(preset, str | Mapping):
            yield detail(
                expected("parameters and their values, or a query such as width=400&fit=crop"), name, received=preset
            )
        else:
            single = {} if isinstance(preset, str) else preset
            found = [
                detail(stated(sentence.removeprefix(f"{str(parameter).lower()}: ")), name, parameter)
                for parameter, value in single.items()
                for sentence in _sentences({str(parameter): value}, max_side)
            ]
            whole = _sentences(preset, max_side)
            yield from found or [detail(stated(sentence), name) for sentence in whole]
            if not whole:
                good[key] = parse_preset(preset, max_side=max_side)
    if len(good) == len(presets):
        for name, sentence in link_presets(good, below)[1].items():
            yield detail(stated(sentence), name)


def _sentences(preset: str | Mapping[str, Any], max_side: int) -> list[str]:
    try:
        parse_preset(preset, max_side=max_side)
    except BadTransform as error:
        return error.mistakes
    return []


def _parsed(presets: Presets, max_side: int) -> dict[str, Preset]:
    return {str(name).lower(): parse_preset(preset, max_side=max_side) for name, preset in presets.items()}


class Config(Section):
    """Every setting of the server; frozen, validated as a whole.

    The constructor reads neither files nor the environment; `load` does.
    """

    originals: OriginalsConfig = Field(default_factory=OriginalsConfig)
    cache: CacheConfig = Field(default_factory=CacheConfig)
    rendering: RenderingConfig = Field(default_factory=RenderingConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    formats: FormatsConfig = Field(default_factory=FormatsConfig)
    presets: Annotated[Presets, WithJsonSchema(PRESETS_SCHEMA)] = Field(default_factory=lambda: SHIPPED)
    """Named parameters, as a mapping or a query; the preset called default applies to requests without parameters."""
    uploads: UploadsConfig = Field(default_factory=UploadsConfig)
    imports: ImportsConfig = Field(default_factory=ImportsConfig)
    jobs: JobsConfig = Field(default_factory=JobsConfig)
    urls: UrlsConfig = Field(default_factory=UrlsConfig)
    access: AccessConfig = Field(default_factory=AccessConfig)
    rules: RulesConfig = Field(default_factory=RulesConfig)
    sites: Mapping[str, SiteConfig] = Field(default_factory=dict)
    """Parts of the originals with rules of their own, by name: host names, a folder, presets, secrets and rules."""
    signing: SigningConfig = Field(default_factory=SigningConfig)
    rates: RatesConfig = Field(default_factory=RatesConfig)
    catalog: CatalogConfig = Field(default_factory=CatalogConfig)
    http: HttpConfig = Field(default_factory=HttpConfig)
    cdn: CdnConfig = Field(default_factory=CdnConfig)
    server: ServerConfig = Field(default_factory=ServerConfig)
    log: LogConfig = Field(default_factory=LogConfig)
    metrics: MetricsConfig = Field(default_factory=MetricsConfig)
    tracing: TracingConfig = Field(default_factory=TracingConfig)
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Self:
        """Return the settings of the file, overridden by the environment, overridden by `overrides`.

        Args:
            path: the settings file; default: IMGSERVE_CONFIG, else `imgserve.yaml` in the current folder, if it exists.
            environ: environment variables; default: those of the process.
            overrides: values by dotted name; None is ignored.
            options: names of the overrides on the command line, for messages.

        Raises ConfigError with every mistake.
        """
        environ = os.environ if environ is None else environ
        config, origins = load(cls, None if path is None else Path(path), environ, overrides or {}, options or {})
        config._origins.update(origins)  # noqa: SLF001  of this class
        return config

    @property
    def effective(self) -> list[SettingsSection]:
        """The settings in force, each with the place where it was set; secrets are hidden."""
        return effective(self, self._origins)

    def plain_presets(self, site: SiteConfig | None = None) -> dict[str, Preset]:
        """Return the parsed presets of a site by name and alias: its own, the general ones and the built-in ones."""
        general = {name: preset for name, preset in self.presets.items() if preset != SHIPPED.get(name)}
        linked, _ = link_presets(_parsed(general, self.limits.output_side), BUILT_IN_PRESETS)
        return linked if site is None else link_presets(_parsed(site.presets, self.limits.output_side), linked)[0]

    @field_validator("presets", mode="plain")
    @classmethod
    def _check_presets(cls, value: object, info: ValidationInfo) -> Presets:
        """Return the presets, with the shipped default preset unless it is replaced; raise every mistake at once."""
        if not isinstance(value, Mapping):
            raise expected("presets by name")
        limits: LimitsConfig | None = info.data.get("limits")
        if errors := list(_mistakes(value, limits.output_side if limits else MAX_SIDE)):
            raise ValidationError.from_exception_data("presets", errors)
        named = {str(name).lower(): preset for name, preset in value.items()}
        return {**SHIPPED, **{name: item if isinstance(item, str) else dict(item) for name, item in named.items()}}

    @field_validator("sites")
    @classmethod
    def _check_sites(cls, sites: Mapping[str, SiteConfig], info: ValidationInfo) -> Mapping[str, SiteConfig]:
        """Return the sites; a host name or a folder of two of them would not say which rules apply."""
        limits: LimitsConfig | None = info.data.get("limits")
        side = limits.output_side if limits else MAX_SIDE
        general, _ = link_presets(_parsed(info.data.get("presets") or {}, side), BUILT_IN_PRESETS)
        errors, owners = list[InitErrorDetails](), dict[str, str]()
        for name, site in sites.items():
            for error in _mistakes(site.presets, side, general):
                errors.append({**error, "loc": (name, "presets", *error.get("loc", ()))})
            taken = [place for place in site.places if owners.setdefault(place, name) != name]
            errors += [detail(stated(f"{one} belongs to the site {owners[one]} already"), name) for one in taken]
        if errors:
            raise ValidationError.from_exception_data("sites", errors)
        return sites

    @field_validator("signing")
    @classmethod
    def _check_secrets(cls, signing: SigningConfig, info: ValidationInfo) -> SigningConfig:
        """Return the secrets; without any, no URL that needs a signature could be served."""
        general, sites = info.data.get("rules"), info.data.get("sites")
        if general is not None and sites is not None and not signing.secrets:
            if general.require == "signature":
                raise stated("rules.require is signature, but there are no secrets")
            for name, site in sites.items():
                if site.merged(general).require == "signature" and not site.secrets:
                    raise stated(f"the site {name} requires signatures, but there are no secrets")
        return signing

    @field_validator("cdn")
    @classmethod
    def _check_published(cls, cdn: CdnConfig, info: ValidationInfo) -> CdnConfig:
        """Return the settings of caches in front, if published pictures do not need what only imgserve can do."""
        cache, sites = info.data.get("cache"), info.data.get("sites") or {}
        if cache is not None and cache.published_urls:
            if cdn.cloudflare.zone or cdn.fastly.service or cdn.varnish_urls:
                raise stated("cache.published_urls must be 0 where caches are purged by tag: nginx sends no tags")
            if any(site.hosts for site in sites.values()):
                raise stated("cache.published_urls must be 0 where sites have host names")
            if not cache.disk_bytes:
                raise stated("cache.published_urls needs cache.disk_bytes")
        return cdn

    @field_validator("cache")
    @classmethod
    def _check_folders(cls, cache: CacheConfig, info: ValidationInfo) -> CacheConfig:
        originals: OriginalsConfig | None = info.data.get("originals")
        if not originals or not cache.disk_bytes:
            return cache
        errors, folder = [], real(cache.folder)
        for main in map(real, (originals.folder, *originals.folders.values())):
            if main.is_relative_to(folder):
                sentence = f"the folder of originals, {main}, must not be inside {folder}, where files are deleted"
            elif is_served(folder, main):
                sentence = f"{folder} is inside the folder of originals and would be served"
                sentence += "; a hidden folder such as .cache is fine"
            else:
                continue
            errors.append(detail(stated(sentence), "folder", received=str(cache.folder)))
        if errors:
            raise ValidationError.from_exception_data("cache", errors)
        return cache
