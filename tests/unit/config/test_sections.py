from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from imgserve.config.pictures import (
    CacheConfig,
    EffortsConfig,
    FormatsConfig,
    LimitsConfig,
    OriginalsConfig,
    QualityConfig,
    RenderingConfig,
)
from imgserve.config.sections import HttpConfig, ServerConfig, UrlsConfig
from imgserve.config.telemetry import LogConfig, TracingConfig
from imgserve.config.values import Section
from imgserve.formats import FORMATS
from imgserve.model import Limits


def test_the_limits_have_the_names_and_defaults_of_the_model() -> None:
    # How many images one call may take is no property of a picture.
    assert LimitsConfig().model_dump(exclude={"bulk_images"}) == asdict(Limits())
    assert list(LimitsConfig.model_fields) == [*(field.name for field in fields(Limits)), "bulk_images"]


def test_the_limits_become_the_value_of_the_model() -> None:
    assert LimitsConfig.model_validate({"original_bytes": "1MB", "frames": "3"}).plain() == Limits(
        original_bytes=10**6, frames=3
    )


def test_the_qualities_are_those_of_the_formats() -> None:
    declared = {name: item.quality for name, item in FORMATS.items() if item.quality is not None}
    assert QualityConfig().model_dump() == declared


@pytest.mark.parametrize(
    ("section", "name", "value", "expected"),
    [
        (OriginalsConfig, "folder", "photos", Path("photos")),
        (OriginalsConfig, "folder", "~/photos", Path.home() / "photos"),
        (OriginalsConfig, "recheck", "0", 0.0),
        (OriginalsConfig, "follow_links", "off", False),
        (CacheConfig, "memory_bytes", 1024, 1024),
        (CacheConfig, "disk_bytes", "0", 0),
        (CacheConfig, "disk_entries", "1_000", 1000),
        (RenderingConfig, "time_limit", 2.5, 2.5),
        (RenderingConfig, "memory_bytes", "256MB", 256_000_000),
        (FormatsConfig, "svg", "off", "off"),
        (FormatsConfig, "allow_untrusted", "svgload_buffer, pdfload_buffer", ("svgload_buffer", "pdfload_buffer")),
        (UrlsConfig, "prefix", "/pictures/", "/pictures"),
        (UrlsConfig, "prefix", "/a/b", "/a/b"),
        (UrlsConfig, "prefix", "/", ""),
        (UrlsConfig, "prefix", "", ""),
        (UrlsConfig, "prefix", "/apinity", "/apinity"),
        (HttpConfig, "s_maxage", "1d", 86400),
        (HttpConfig, "s_maxage", None, None),
        (HttpConfig, "cors_origins", "https://a.example, http://b.example:8080", None),
        (HttpConfig, "cors_origins", [], ()),
        (ServerConfig, "host", "::1", "::1"),
        (ServerConfig, "host", "localhost", "localhost"),
        (ServerConfig, "port", "0", 0),
        (ServerConfig, "allowed_hosts", ["img.example.com", "*.example.com", "[::1]", "10.0.0.1"], None),
        (ServerConfig, "trusted_proxies", "10.0.0.0/8,::1", ("10.0.0.0/8", "::1")),
        (ServerConfig, "header_timeout", "30s", 30.0),
        (LogConfig, "access", "/var/log/imgserve.log", "/var/log/imgserve.log"),
        (LogConfig, "slow_render", "250ms", 0.25),
        (TracingConfig, "endpoint", "https://collector.example:4318", "https://collector.example:4318"),
    ],
)
def test_a_valid_value_is_accepted(section: type[Section], name: str, value: Any, expected: Any) -> None:
    actual = getattr(section.model_validate({name: value}), name)
    assert isinstance(actual, tuple) if expected is None and value is not None else actual == expected


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        (OriginalsConfig, "folder", ""),
        (OriginalsConfig, "folder", "~no_such_user_here/photos"),
        (OriginalsConfig, "recheck", "soon"),
        (CacheConfig, "folder", "  "),
        (CacheConfig, "memory_bytes", True),
        (CacheConfig, "memory_bytes", None),
        (CacheConfig, "memory_bytes", [1]),
        (CacheConfig, "disk_entries", 0),
        (RenderingConfig, "time_limit", 0),
        (RenderingConfig, "memory_bytes", "255MB"),
        (RenderingConfig, "niceness", 20),
        (RenderingConfig, "processes", -1),
        (LimitsConfig, "output_side", 0),
        (LimitsConfig, "original_bytes", "0"),
        (QualityConfig, "jpg", 101),
        (EffortsConfig, "webp", 7),
        (EffortsConfig, "gif", 0),
        (FormatsConfig, "svg", "on"),
        (FormatsConfig, "quality", "80"),
        (UrlsConfig, "prefix", "img"),
        (UrlsConfig, "prefix", "/a//b"),
        (UrlsConfig, "prefix", "/a b"),
        (UrlsConfig, "prefix", "/.."),
        (UrlsConfig, "prefix", "/healthz"),
        (UrlsConfig, "prefix", "/API/img"),
        (HttpConfig, "max_age", "-1"),
        (HttpConfig, "max_age", "1.5s"),
        (HttpConfig, "s_maxage", "10000d"),
        (HttpConfig, "cors_origins", "www.example.com"),
        (HttpConfig, "cors_origins", "https://www.example.com/"),
        (ServerConfig, "host", "127.0.0.1:8000"),
        (ServerConfig, "host", "*"),
        (ServerConfig, "host", ""),
        (ServerConfig, "port", 65_536),
        (ServerConfig, "workers", 0),
        (ServerConfig, "allowed_hosts", "https://example.com"),
        (ServerConfig, "allowed_hosts", "example.com:80"),
        (ServerConfig, "header_timeout", "31s"),
        (ServerConfig, "keep_alive", 0),
        (ServerConfig, "trusted_proxies", "proxy.example.com"),
        (LogConfig, "access", ""),
        (LogConfig, "level", "loud"),
        (TracingConfig, "endpoint", "127.0.0.1:4318"),
        (TracingConfig, "sample_ratio", 1.5),
    ],
)
def test_a_harmful_value_is_rejected(section: type[Section], name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        section.model_validate({name: value})
    assert [error["loc"][0] for error in caught.value.errors()] == [name]


def test_a_section_cannot_be_changed() -> None:
    section = ServerConfig()
    with pytest.raises(ValidationError, match="frozen"):
        section.port = 1  # type: ignore[misc]
