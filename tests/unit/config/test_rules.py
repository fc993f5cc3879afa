"""The settings of rules and sites."""

from typing import Any

import pytest
from pydantic import SecretStr

from imgserve.config import Config
from imgserve.config.rules import RulesConfig, SiteConfig
from imgserve.errors import ConfigError

SECRET = "a-secret-of-signatures"  # noqa: S105  of no server


def loaded(**sections: Any) -> Config:
    return Config.load(environ={}, overrides=sections)


@pytest.mark.parametrize(
    ("sections", "mistake"),
    [
        ({"rules": {"require": "signature"}}, "signing: rules.require is signature, but there are no secrets"),
        (
            {"sites": {"a": {"folder": "a", "rules": {"require": "signature"}}}},
            "signing: the site a requires signatures, but there are no secrets",
        ),
        (
            {"sites": {"a": {"hosts": ["x.example"]}, "b": {"hosts": ["X.example"]}}},
            "sites.b: x.example belongs to the site a already",
        ),
        ({"sites": {"a": {"folder": "a"}, "b": {"folder": "/a/"}}}, "sites.b: a/ belongs to the site a already"),
        ({"sites": {"a": {"folder": "a", "secrets": ["short"]}}}, "expected secrets of at least 16 visible ASCII"),
        ({"sites": {"a": {"folder": "../a"}}}, "expected the start of image ids"),
        ({"sites": {"a": {"hosts": ["*.example"]}}}, "expected host names without port and wildcard"),
        (
            {"sites": {"a": {"presets": {"card": {"widht": 3}}}}},
            'sites.a.presets.card.widht: unknown parameter "widht"',
        ),
        ({"rules": {"allow_domains": ["http://a.example"]}}, "expected domains such as example.com"),
        ({"rules": {"parameters": ["widht"]}}, "expected names of picture parameters"),
        ({"rules": {"formats": ["bmp2"]}}, "expected formats among jpg"),
        ({"rules": {"watermark": "mark-w=9"}}, "expected mark and other parameters of a watermark"),
        ({"rules": {"watermark": "mark=a&w=9"}}, "expected mark and other parameters of a watermark"),
        ({"rules": {"watermark": "mark=a&mark-alpha=0"}}, "expected mark and other parameters of a watermark"),
        ({"sites": {"a": {"folder": "a", "rules": {"watermark": "mark=a&mark-w=x"}}}}, "mark-w: expected an integer"),
        ({"rules": {"require": "nobody"}}, "expected nothing, signature, key or either"),
    ],
)
def test_a_mistake_is_named_with_its_place(sections: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ConfigError) as found:
        loaded(**sections)
    assert mistake in found.value.detail


def test_a_site_overrides_single_rules() -> None:
    general = RulesConfig(require="key", sizes=(320, 640))
    site = SiteConfig(rules=RulesConfig(sizes=(100,)))
    assert site.merged(general) == RulesConfig(require="key", sizes=(100,))
    assert SiteConfig().merged(general) == general


def test_secrets_of_a_site_are_enough() -> None:
    site = SiteConfig(folder="a", secrets=(SecretStr(SECRET),), rules=RulesConfig(require="signature"))
    config = loaded(sites={"a": site.model_dump(exclude_unset=True)})
    assert config.sites["a"].merged(config.rules).require == "signature"
    assert SECRET not in repr(config)


def test_presets_of_a_site_are_added_to_the_general_ones() -> None:
    config = loaded(presets={"card": {"width": 3}}, sites={"a": {"presets": {"Card": {"width": 4}}}})
    presets = config.plain_presets(config.sites["a"])
    assert {name: presets[name].values["width"] for name in ("card", "default")} == {"card": 4, "default": 2048}
