"""The files of deploy/ agree with the settings and commands of the server."""

from pathlib import Path

from imgserve.app.access import sites_of
from imgserve.app.nginx import nginx_configuration
from imgserve.config import Config

DEPLOY = Path(__file__).parents[2] / "deploy"


def loaded(path: str) -> Config:
    """Return the settings of a file, which have no mistakes."""
    return Config.load(DEPLOY / path, environ={})


def test_the_configuration_of_nginx_is_that_of_the_settings_beside_it() -> None:
    config = loaded("imgserve.yaml")
    expected = (DEPLOY / "nginx/imgserve.conf").read_text(encoding="utf-8")
    assert nginx_configuration(config, sites_of(config)) == expected
