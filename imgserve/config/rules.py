"""The settings of rules for picture URLs, and of sites."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

from imgserve.access.domains import parse_domain
from imgserve.access.sites import Requirement
from imgserve.config.sections import RatesConfig, SigningSecrets
from imgserve.config.values import HostPatterns, Numbers, Section, Words, each
from imgserve.errors import BadImageId, BadTransform
from imgserve.formats import FORMATS
from imgserve.originals.writable import check_id
from imgserve.transform import PARAMETERS, Transform, read_parameters
from imgserve.transform.parameters import MARK
from imgserve.validation import expected, stated


def _is_domain(text: str) -> bool:
    try:
        parse_domain(text)
    except ValueError:
        return False
    return True


def _folder(text: str) -> str:
    """Return the start of image ids, with a slash at the end."""
    folder = text.strip("/")
    try:
        if folder:
            check_id(folder)
    except BadImageId:
        raise expected("the start of image ids, such as shop or customers/acme") from None
    return f"{folder}/" if folder else ""


def _without_wildcards(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if any("*" in host for host in hosts):
        raise expected("host names without port and wildcard, such as img.example.com")
    return tuple(host.lower().rstrip(".") for host in hosts)


def watermark_values(parameters: str) -> Mapping[str, Any]:
    """Return the values of a watermark by attribute, each stated; raise BadTransform for what is no watermark."""
    values = read_parameters(parameters) if parameters else {}
    if values.keys() - set(MARK) or (parameters and not (values.get("mark") and values.get("mark_alpha", 1))):
        raise BadTransform(["expected mark and other parameters of a watermark, such as mark=logo.png&mark-alpha=50"])
    return {name: getattr(Transform(mark_tile="thin"), name) for name in MARK} | values if values else {}


def _watermark(parameters: str) -> str:
    try:
        watermark_values(parameters)
    except BadTransform as error:
        raise stated("; ".join(error.mistakes)) from None
    return parameters


_NAMES = {name: row.attribute for row in PARAMETERS for name in (row.name, *row.aliases)}
Domains = Annotated[
    Words, AfterValidator(each(_is_domain, "domains such as example.com, *.example.com, localhost:3000 or *"))
]
"""Domains of web pages, with optional ports."""
_Parameters = Annotated[Words, AfterValidator(each(_NAMES.__contains__, "names of picture parameters, such as width"))]
_Formats = Annotated[Words, AfterValidator(each(FORMATS.__contains__, f"formats among {', '.join(FORMATS)}"))]
_Hosts = Annotated[HostPatterns, AfterValidator(_without_wildcards)]
S = TypeVar("S", bound=Section)


class RulesConfig(Section):
    """Rules for picture URLs."""

    require: Requirement = "nothing"
    """What a URL needs: nothing, signature, key (an API key with the scope read), or either of the two."""
    allow_domains: Domains = ("*",)
    """Domains whose pages may show pictures, such as example.com, *.example.com, localhost:3000; "*" for all."""
    deny_domains: Domains = ()
    """Domains whose pages may not, even if the other list contains them."""
    allow_no_referer: bool = True
    """Serve pictures to requests that name no page, such as of a typed address or a feed reader."""
    hotlink_image: str = ""
    """Id of the image that pages of other domains receive instead of an error."""
    error_images: Mapping[Annotated[int, Field(ge=400, le=599)], str] = Field(default_factory=dict)
    """Ids of images that are sent with errors, by status, such as {404: site/missing.png}, in the requested size."""
    key_in_url: bool = False
    """Accept an API key as key= in a URL, where histories and logs of others may keep it."""
    watermark: Annotated[str, AfterValidator(_watermark)] = ""
    """Parameters of a watermark on every picture, such as mark=logo.png&mark-scale=25, which no URL can remove."""
    presets_only: bool = False
    """Accept only presets, without further parameters."""
    parameters: _Parameters = ()
    """The only parameters that URLs may use besides presets; empty for all."""
    formats: _Formats = ()
    """The only formats that URLs may request or negotiate, besides that of the original; empty for all."""
    qualities: Numbers = ()
    """The only qualities that URLs may request; others round up. Empty: any."""
    sizes: Numbers = ()
    """The only widths that URLs may request, as in urls.sizes, which applies if this is empty."""
    reject_unlisted: bool = False
    """Reject sizes and qualities that are not listed, instead of rounding them."""
    output_pixels: Annotated[int, Field(ge=0, le=10**12)] = 0
    """Maximum width x height of a rendition, beyond which URLs are rejected; 0 for limits.output_pixels alone."""


class SiteConfig(Section):
    """A part of the originals with its own rules."""

    hosts: _Hosts = ()
    """Host names of the site; on these, paths of pictures start in its folder."""
    folder: Annotated[str, AfterValidator(_folder)] = ""
    """The start of its image ids, such as shop; its rules apply to them whatever the host name is."""
    presets: Mapping[str, Any] = Field(default_factory=dict)
    """Presets in addition to the general ones, which they may replace."""
    secrets: SigningSecrets = ()
    """Its own secrets of signatures; empty for those of signing.secrets."""
    rules: RulesConfig = RulesConfig()
    """Rules that differ from the general ones."""
    rates: RatesConfig = RatesConfig()
    """Its own new_per_client and new_per_image; the other rates are those of the server."""

    @property
    def places(self) -> list[str]:
        """Its host names and its folder."""
        return [*self.hosts, *([self.folder] if self.folder else [])]

    def merged(self, general: RulesConfig) -> RulesConfig:
        """Return the general rules with those that the site sets."""
        return _overridden(general, self.rules)

    def merged_rates(self, general: RatesConfig) -> RatesConfig:
        """Return the general rates with those that the site sets."""
        return _overridden(general, self.rates)


def _overridden(general: S, own: S) -> S:
    return general.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


def attributes(names: tuple[str, ...]) -> frozenset[str]:
    """Return the parameters of a list of names, which may be short."""
    return frozenset(_NAMES[name] for name in names)
