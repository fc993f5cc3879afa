"""Every setting, declared once; nothing below reads settings, parts get plain values."""

from imgserve.config.access_section import AccessConfig
from imgserve.config.catalog_sections import CatalogConfig
from imgserve.config.config import Config
from imgserve.config.document import example, markdown_table, schema
from imgserve.config.picture_sections import (
    CacheConfig,
    EffortsConfig,
    FormatsConfig,
    LimitsConfig,
    OriginalsConfig,
    QualityConfig,
    RenderingConfig,
)
from imgserve.config.serving_sections import HttpConfig, LogConfig, MetricsConfig, ServerConfig, UrlsConfig
from imgserve.config.units import parse_duration, parse_size, write_duration, write_size
from imgserve.config.upload_section import UploadsConfig

__all__ = [
    "AccessConfig",
    "CacheConfig",
    "CatalogConfig",
    "Config",
    "EffortsConfig",
    "FormatsConfig",
    "HttpConfig",
    "LimitsConfig",
    "LogConfig",
    "MetricsConfig",
    "OriginalsConfig",
    "QualityConfig",
    "RenderingConfig",
    "ServerConfig",
    "UploadsConfig",
    "UrlsConfig",
    "example",
    "markdown_table",
    "parse_duration",
    "parse_size",
    "schema",
    "write_duration",
    "write_size",
]
