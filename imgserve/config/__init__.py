"""Every setting, declared once; nothing below reads settings, parts get plain values."""

from imgserve.config.config import Config
from imgserve.config.pictures import CacheConfig, FormatsConfig, LimitsConfig, OriginalsConfig, RenderingConfig
from imgserve.config.sections import (
    AccessConfig,
    CatalogConfig,
    HttpConfig,
    RatesConfig,
    ServerConfig,
    UploadsConfig,
    UrlsConfig,
)
from imgserve.config.telemetry import LogConfig, MetricsConfig

__all__ = [
    "AccessConfig", "CacheConfig", "CatalogConfig", "Config", "FormatsConfig", "HttpConfig", "LimitsConfig",
    "LogConfig", "MetricsConfig", "OriginalsConfig", "RatesConfig", "RenderingConfig", "ServerConfig", "UploadsConfig",
    "UrlsConfig",
]  # fmt: skip
