"""Build the check of who may do what."""

from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from imgserve.access.access import Access
from imgserve.access.admin_key import KeyFileUnusableError, key_file
from imgserve.access.domains import DomainRules, parse_domain
from imgserve.access.keys import KeyRing
from imgserve.access.limiter import open_limiter
from imgserve.access.rates import Kind
from imgserve.access.sites import Rules, Site, Sites
from imgserve.app.pictures import Parts, server_processes
from imgserve.app.settings import query_settings
from imgserve.config import Config
from imgserve.config.rules import RulesConfig, SiteConfig, attributes, watermark_values
from imgserve.http.headers import Cors
from imgserve.images.settings import ANYTHING, Variety


def sites_of(config: Config) -> Sites:
    """Return the sites of the settings."""
    general = config.rules
    default = Site("", _rules(config, general, SiteConfig()))
    others = (
        Site(name, _rules(config, site.merged(general), site), site.hosts, site.folder)
        for name, site in config.sites.items()
    )
    return Sites(default, tuple(others))


def build_access(config: Config, parts: Parts, sites: Sites, data: Path) -> Access:
    """Return the check, which rejects all keys until the server has started."""
    ring = KeyRing(parts.catalog.keys, {site.name: site.folder for site in sites.others})
    return Access(
        KeyFileUnusableError("the server has not started"),
        metrics=parts.metrics,
        sites=sites,
        ring=ring,
        limiter=open_limiter(config.rates.storage, data, server_processes(config), parts.metrics),
        call_rates={Kind.API: config.rates.api, Kind.UPLOADS: config.rates.uploads},
        replaced_in=None if config.access.admin_key.get_secret_value() else key_file(data),
    )


def cors_of(config: Config, sites: Sites) -> dict[str, Cors]:
    """Return the web origins of each site: those that are set, or where all are, the allowed domains."""
    origins, age = config.http.cors_origins, config.http.cors_max_age
    return {site.name: Cors(_origins(site, origins), age) for site in sites}


def _origins(site: Site, origins: tuple[str, ...]) -> Container[str]:
    return site.rules.domains if site.rules.domains is not None and "*" in origins else origins


def _rules(config: Config, rules: RulesConfig, site: SiteConfig) -> Rules:
    settings = replace(query_settings(config), watermark=watermark_values(rules.watermark))
    if site.presets:
        settings = replace(settings, presets=config.plain_presets(site))
    variety = Variety(
        presets_only=rules.presets_only,
        parameters=attributes(rules.parameters),
        formats=frozenset(rules.formats),
        qualities=tuple(sorted(rules.qualities)),
        output_pixels=rules.output_pixels,
        reject=rules.reject_unlisted,
    )
    allow, deny = (tuple(map(parse_domain, names)) for names in (rules.allow_domains, rules.deny_domains))
    everyone = "*" in rules.allow_domains and not deny and rules.allow_no_referer
    secrets, rates = site.secrets or config.signing.secrets, site.merged_rates(config.rates)
    return Rules(
        replace(settings, variety=variety, sizes=tuple(sorted(rules.sizes)) or settings.sizes),
        replace(settings, variety=ANYTHING, sizes=()),
        require=rules.require,
        secrets=tuple(secret.get_secret_value() for secret in secrets),
        domains=None if everyone else DomainRules(allow, deny, rules.allow_no_referer),
        hotlink_image=rules.hotlink_image,
        error_images=rules.error_images,
        key_in_url=rules.key_in_url,
        new_per_client=rates.new_per_client,
        new_per_image=rates.new_per_image,
        explain=config.signing.debug,
    )
