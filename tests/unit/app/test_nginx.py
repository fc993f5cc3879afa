"""The configuration of nginx for different settings, and the settings that do not go with published pictures."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from imgserve.app.access import sites_of
from imgserve.app.nginx import nginx_configuration
from imgserve.config import Config
from imgserve.errors import ConfigError
from tests.nginx import NGINX, needs_nginx

VARIANTS: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({}, ["default 1;", "location /img/ {", 'Allow-Origin "*"', '"imgserve; hit; detail=nginx"', "location / {"], []),
    (
        {"server.allowed_hosts": "img.example.com,*.shop.example"},
        ['default "";', "img.example.com 1;", "*.shop.example 1;"],
        ["default 1;\n    img"],
    ),
    ({"urls.prefix": "/"}, ["location / {", "(?:GET|HEAD) /("], ["location /img"]),
    ({"urls.prefix": "/a.b/c-d"}, ["location /a.b/c-d/ {", r"/a\.b/c\-d/("], []),
    ({"http.cors_origins": ""}, [], ["Access-Control"]),
    ({"http.timing_header": "false"}, [], ["Cache-Status imgserve", "detail=nginx"]),
    ({"http.max_age": "60", "http.immutable": "true"}, ["max-age=60, ", ", immutable"], []),
    ({"server.host": "::", "server.port": "9000"}, ["server [::1]:9000;"], []),
    ({"server.host": "::1"}, ["server [::1]:8000;"], []),
    ({"cache.folder": '/cache with "quotes"'}, [r'root "/cache with \"quotes\"";'], []),
]


@pytest.mark.parametrize(("values", "present", "absent"), VARIANTS, ids=lambda one: str(one)[:40])
@needs_nginx
def test_nginx_accepts_what_the_settings_mean(
    tmp_path: Path, values: dict[str, Any], present: list[str], absent: list[str]
) -> None:
    overrides = {"cache.published_urls": 10, **values}
    config = Config.load(None, environ={}, overrides=overrides)
    text = nginx_configuration(config, sites_of(config), listen="127.0.0.1:18080")
    assert [one for one in present if one not in text] == []
    assert [one for one in absent if one in text] == []
    file = tmp_path / "nginx.conf"
    file.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log;\nevents {{ }}\nhttp {{\naccess_log off;\n{text}}}\n"
    )
    command = [NGINX or "nginx", "-t", "-e", str(tmp_path / "log"), "-p", str(tmp_path), "-c", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"cdn.varnish_urls": "http://127.0.0.1:6081"}, "nginx sends no tags"),
        ({"cdn.cloudflare.zone": "abc"}, "nginx sends no tags"),
        ({"cache.disk_bytes": "0"}, "needs cache.disk_bytes"),
    ],
)
def test_settings_that_exclude_published_pictures_are_mistakes(values: dict[str, Any], sentence: str) -> None:
    Config.load(None, environ={}, overrides=values)
    with pytest.raises(ConfigError, match=sentence):
        Config.load(None, environ={}, overrides={"cache.published_urls": 10, **values})


def test_sites_with_host_names_exclude_published_pictures() -> None:
    site = {"shop": {"hosts": ["img.shop.example"], "folder": "shop"}}
    Config.model_validate({"sites": site})
    with pytest.raises(ValueError, match="must be 0 where sites have host names"):
        Config.model_validate({"cache": {"published_urls": 10}, "sites": site})
