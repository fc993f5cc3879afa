"""Sites: the rules for image URLs by host name and image id."""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from imgserve.access.domains import DomainRules
from imgserve.images.settings import QuerySettings

Requirement = Literal["nothing", "signature", "key", "either"]
"""What an image URL needs: nothing, a signature, an API key, or either of them."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may see pictures of a site, and which."""

    query: QuerySettings
    """What a query means, and what it may request."""
    free: QuerySettings
    """The same without limits of variety, for signed URLs."""
    unmarked: QuerySettings = field(init=False)
    """The same without a watermark too, for callers with the scope `manage`."""
    require: Requirement = "nothing"
    secrets: tuple[str, ...] = ()
    """Secrets of signatures, the newest first; empty: signatures mean nothing."""
    domains: DomainRules | None = None
    """The pages that may show pictures; None for all."""
    hotlink_image: str = ""
    """The picture that other pages receive; empty for an error."""
    error_images: Mapping[int, str] = field(default_factory=dict)
    """The pictures that are sent with errors, by status."""
    key_in_url: bool = False
    """Whether `key=` in an image URL is an API key."""
    new_per_client: str = ""
    """Limits of the pictures of one client that have to be rendered, as in `rates.parse_rates`; empty for none."""
    new_per_image: str = ""
    """The same of one image, for all clients together."""
    explain: bool = False
    """Whether the error of a wrong signature contains the text that should have been signed."""

    def __post_init__(self) -> None:
        """Derive what is free of a watermark."""
        object.__setattr__(self, "unmarked", replace(self.free, watermark={}) if self.free.watermark else self.free)

    @property
    def open(self) -> bool:
        """Whether everybody may see everything, so that there is nothing to check."""
        free = self.query == self.unmarked
        return self.require == "nothing" and free and self.domains is None and not self.secrets


@dataclass(frozen=True, slots=True)
class Site:
    """A part of the originals with its own rules."""

    name: str
    """Empty for everything that belongs to no other site."""
    rules: Rules
    hosts: tuple[str, ...] = ()
    """Host names, without port, in lower case; below them, paths start in the folder."""
    folder: str = ""
    """The start of the site's image ids, with a slash at the end; empty for all."""


@dataclass(frozen=True, slots=True)
class Sites:
    """All sites, found by host and image id."""

    default: Site
    others: tuple[Site, ...] = ()
    _hosts: Mapping[str, Site] = field(init=False)
    _folders: tuple[tuple[str, Site], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Index the sites, the longest folder first, because it is the most specific one."""
        object.__setattr__(self, "_hosts", {host: site for site in self.others for host in site.hosts})
        folders = ((_composed(site.folder), site) for site in self.others if site.folder)
        object.__setattr__(self, "_folders", tuple(sorted(folders, key=lambda one: -len(one[0]))))

    def __iter__(self) -> Iterator[Site]:
        """Iterate over all sites."""
        return iter((self.default, *self.others))

    @property
    def open(self) -> bool:
        """Whether there is one site without rules, so that nothing needs to be checked."""
        return not self.others and self.default.rules.open

    def by_host(self, host: bytes) -> Site | None:
        """Return the site of a Host header, or None."""
        if not self._hosts:
            return None
        name, _, port = host.decode("latin-1").lower().rpartition(":")
        return self._hosts.get((name if port.isdigit() and name else f"{name}:{port}" if name else port).rstrip("."))

    def find(self, host: bytes, path: str) -> tuple[Site, str]:
        """Return the site of an image and its id.

        A host decides where a path starts. The rules are those of the folder with the image, whatever the host is:
        otherwise another host name would be a way around them.
        """
        named = self.by_host(host)
        image_id = named.folder + path if named is not None else path
        return self.by_folder(image_id) or named or self.default, image_id

    def by_folder(self, image_id: str) -> Site | None:
        """Return the site whose folder contains an image, or None.

        A name also finds the file that differs from it only in Unicode normalization, so the folder's name is compared
        alike.
        """
        composed = _composed(image_id) if self._folders else image_id
        return next((site for folder, site in self._folders if composed.startswith(folder)), None)

    def path(self, host: bytes, image_id: str) -> str | None:
        """Return the path of an image on a host, or None if the host has other images."""
        named = self.by_host(host)
        folder = "" if named is None else named.folder
        return image_id.removeprefix(folder) if image_id.startswith(folder) else None


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)
