"""Checks of the settings: what is unsafe, and what to do."""

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imgserve.access.sites import Rules, Sites
from imgserve.app.access import sites_of
from imgserve.app.machine import examine
from imgserve.app.pictures import originals_of
from imgserve.config import Config
from imgserve.errors import ImgserveError
from imgserve.rendering.sandbox import supported
from imgserve.web.operations import Finding

_LONG_ENOUGH = 32


@dataclass(frozen=True, slots=True)
class _Setup:
    """What is checked."""

    config: Config
    sites: Sites

    @property
    def public(self) -> bool:
        """Whether other machines can connect to the server."""
        host = self.config.server.host
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host != "localhost"

    @property
    def proxied(self) -> bool:
        """Whether the settings name a proxy on another machine."""
        return any(not ipaddress.ip_network(str(one)).is_loopback for one in self.config.server.trusted_proxies)


def diagnose(config: Config, data: Path) -> list[Finding]:
    """Return the result of every check; `data` is the data folder."""
    setup = _Setup(config, sites_of(config))
    return [*(finding for check in _CHECKS for finding in check(setup)), *examine(config, data)]


def _network(setup: _Setup) -> Iterator[Finding]:
    server, config = setup.config.server, setup.config
    yield Finding.unless(
        setup.public and not setup.proxied,
        "encryption",
        "problem",
        f"the API listens on {server.host} without TLS, and no proxy on another machine is trusted: keys and passwords "
        "can be read on the network",
        "listen on 127.0.0.1 behind a proxy with TLS, or name the addresses of the proxy in server.trusted_proxies",
    )
    everybody = [str(one) for one in server.trusted_proxies if ipaddress.ip_network(str(one)).prefixlen == 0]
    yield Finding.unless(
        everybody,
        "trusted proxies",
        "problem",
        f"server.trusted_proxies contains {', '.join(everybody)}: any client can claim any address",
        "name only the addresses of your proxies",
    )
    yield Finding.unless(
        setup.public and "*" in server.allowed_hosts,
        "allowed hosts",
        "warning",
        "any Host header is accepted on a public address",
        "list the host names of the server in server.allowed_hosts",
    )
    yield Finding.unless(
        setup.public and config.metrics.enabled and "everyone" in config.metrics.open_to,
        "metrics",
        "warning",
        "everybody can read /metrics",
        "set metrics.open_to to the network of the scraper, or set metrics.token",
    )
    yield Finding.unless(
        setup.public and config.access.docs == "everyone",
        "documentation",
        "warning",
        "everybody can read the documentation of the API",
        "set access.docs to key, loopback or off",
    )


def _secrets(setup: _Setup) -> Iterator[Finding]:
    config = setup.config
    values = [("access.admin_key", config.access.admin_key), ("metrics.token", config.metrics.token)]
    values += [("signing.secrets", secret) for secret in config.signing.secrets]
    values += [(f"sites.{name}.secrets", one) for name, site in config.sites.items() for one in site.secrets]
    short = {name for name, secret in values if 0 < len(secret.get_secret_value()) < _LONG_ENOUGH}
    yield Finding.unless(
        short,
        "secrets",
        "problem",
        f"shorter than {_LONG_ENOUGH} characters: {', '.join(sorted(short))}",
        "replace them, such as by the output of: openssl rand -hex 32",
    )
    yield Finding.unless(
        config.signing.debug,
        "signing.debug",
        "problem",
        "errors show the text that should have been signed",
        "set signing.debug to false",
    )


def _rules(setup: _Setup) -> Iterator[Finding]:
    in_url = _names(setup, lambda rules: rules.key_in_url)
    yield Finding.unless(
        in_url,
        "keys in URLs",
        "warning",
        f"keys may be part of URLs, where histories and logs of others store them: {in_url}",
        "send keys in headers or sign URLs, and set key_in_url to false",
    )
    unbounded = _names(setup, _is_unbounded)
    yield Finding.unless(
        unbounded,
        "unbounded URLs",
        "problem" if setup.public else "warning",
        f"anybody can request any number of sizes, and each is rendered ({unbounded})",
        "set urls.sizes, rules.require, rules.presets_only or rates.new_per_client",
    )
    unmarked = _names(setup, lambda rules: _lacks_mark(setup.config, rules))
    yield Finding.unless(
        unmarked,
        "watermarks",
        "problem",
        f"no picture is served, because there is no image with the id of the watermark: {unmarked}",
        "add the image, or change the watermark",
    )


def _lacks_mark(config: Config, rules: Rules) -> bool:
    """Return whether pictures need a mark that does not exist, or cannot be read."""
    if not rules.query.watermark:
        return False
    try:
        originals_of(config).stat(rules.query.watermark["mark"].lstrip("/"))
    except ImgserveError:
        return True
    return False


def _is_unbounded(rules: Rules) -> bool:
    """Return whether anybody may cause any number of renditions."""
    listed = rules.query.sizes or rules.query.variety.presets_only
    return not (rules.require != "nothing" or listed or rules.new_per_client or rules.new_per_image)


def _names(setup: _Setup, holds: Callable[[Rules], bool]) -> str:
    """Return the names of the sites whose rules have a property; that of the general rules is `rules`."""
    found = (site.name or "rules" for site in setup.sites if holds(site.rules))
    return ", ".join(f"sites.{name}" if name != "rules" else name for name in found)


def _rendering(setup: _Setup) -> Iterator[Finding]:
    state = supported()
    off = setup.config.rendering.sandbox == "off"
    yield Finding.unless(
        off or not state.complete,
        "sandbox",
        "warning",
        "rendering.sandbox is off: an original that exploits a decoder can read files and reach the network"
        if off
        else f"rendering processes are confined in part only: {state}",
        "set rendering.sandbox to auto" if off else "use Linux 5.13 or later with Landlock and seccomp",
    )


_CHECKS: tuple[Callable[[_Setup], Iterator[Finding]], ...] = (_network, _secrets, _rules, _rendering)
