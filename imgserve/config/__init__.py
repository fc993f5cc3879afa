"""Every setting, declared once; nothing below reads settings, parts get plain values."""

from imgserve.config.config import Config
from imgserve.config.document import example, markdown_table, schema
from imgserve.config.pictures import (
    CacheConfig,
    EffortsConfig,
    FormatsConfig,
    LimitsConfig,
    OriginalsConfig,
    QualityConfig,
    RenderingConfig,
)
from imgserve.config.sections import (
    AccessConfig,
    CatalogConfig,
    HttpConfig,
    LogConfig,
    MetricsConfig,
    ServerConfig,
    UploadsConfig,
    UrlsConfig,
)
from imgserve.config.values import parse_duration, parse_size, write_duration, write_size

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
