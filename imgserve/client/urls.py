"""URLs of pictures and of the API, `srcset`, `<img>` and `<picture>`, computed without a request."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, Literal, Unpack, cast

from imgserve.client.parameters import Parameters
from imgserve.client.srcset import Candidate, SrcsetPlan, size_of
from imgserve.formats import FORMATS
from imgserve.http.headers import encoded_id
from imgserve.transform import compose, compose_chain, read_parameters, signed_url
from imgserve.transform.pairs import split_chain

# An absolute URL, one with the scheme of the page, or a path on the page's own host, each without a slash at the end.
_BASE = re.compile(r"((https?:)?//[^/?#\\\s\"'<>,]+)?(/[^/?#\\\s\"'<>,]+)*", re.IGNORECASE)
_PATH_NAME = re.compile(r"[A-Za-z0-9_-]+")
_ATTRIBUTE = re.compile(r"[^\x00-\x20\x7f\"'<>/=]+")
"""HTML Standard, 13.1.2.3, without the characters beyond ASCII that it forbids too."""

AttributeValue = str | int | float | bool | None
"""True writes the bare name; None and False omit the attribute."""


def checked_base(base: str) -> str:
    """Return the URL of a server's pictures without a slash at the end; raise ValueError for another text."""
    plain = base.rstrip("/")
    if not _BASE.fullmatch(plain):
        raise ValueError(f"base: expected an address such as https://img.example.com/img, but received {base!r}")
    return plain


class Html(str):
    """Markup that Jinja2 and Django insert unescaped, by its `__html__`; joined to other text it is plain text."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def element(name: str, attributes: Mapping[str, AttributeValue]) -> Html:
    """Return the start tag of an element; raise ValueError if an attribute has an invalid name."""
    written = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        if not _ATTRIBUTE.fullmatch(key):
            raise ValueError(f"attributes: expected the name of an attribute, but received {key!r}")
        written.append(key if value is True else f'{key}="{escape(str(value))}"')
    return Html(f"<{' '.join(written)}>")


class SrcsetOptions(Parameters, total=False):
    """The candidates of a `srcset`, and the parameters of each."""

    widths: Iterable[int]
    """By width (`320w`); the widest is also for browsers that do not choose."""
    densities: Iterable[float]
    """By density (`2x`), such as 1 and 2."""
    original_width: int | None
    """Pixels of the upright original, beyond which no candidate goes; with both sides each is as large as described."""
    original_height: int | None


class ImgOptions(SrcsetOptions, total=False):
    """How an `<img>` is written, its candidates, and the parameters of each."""

    sizes: str | None
    """How wide the page shows the picture, for the choice among widths."""
    loading: Literal["lazy", "eager"] | None
    """`lazy` by default; None leaves it to the browser."""
    decoding: Literal["async", "sync", "auto"] | None
    """`async` by default; None leaves it to the browser."""
    attributes: Mapping[str, AttributeValue] | None
    """Further attributes, which override those made here."""


_OPTIONS = ImgOptions.__annotations__.keys() - Parameters.__annotations__.keys()


@dataclass(frozen=True, slots=True)
class ImageUrls:
    """Builds URLs of the pictures of one server, checked by the server's own rules."""

    base: str
    """The URL of a server's pictures: `https://img.example.com/img`, or a path on the page's own host."""
    preset_in_path: bool = field(default=False, kw_only=True)
    """Write a preset after the image id instead of among the parameters."""
    secret: str | None = field(default=None, kw_only=True, repr=False)
    """Sign every URL with this secret, one of `signing.secrets` of the server."""
    expires: int | None = field(default=None, kw_only=True)
    """When signed URLs end, in Unix seconds."""
    _defaults: tuple[tuple[str, Any], ...] = field(default=(), kw_only=True)
    """Values by attribute, sorted."""
    _earlier: tuple[str, ...] = field(default=(), kw_only=True)
    """The steps of a chain before the parameters, as queries."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", checked_base(self.base))
        if self.expires is not None and not self.secret:
            raise ValueError("expires: expected a secret as well, because only signed URLs expire")

    def with_(self, **parameters: Unpack[Parameters]) -> "ImageUrls":
        """Return a builder with these parameters as defaults of all URLs; None removes one.

        Raises BadTransform with every mistake.
        """
        return replace(self, _defaults=tuple(sorted(self._values(parameters).items())))

    def with_query(self, query: str) -> "ImageUrls":
        """Return a builder with the parameters of a query, such as `w=400&fm=auto`, as defaults.

        In a chain such as `trim=auto&then&w=400`, later parameters are of the last step.

        Raises BadTransform with every mistake.
        """
        *earlier, _ = compose_chain(query)
        defaults = tuple(sorted(self._values(split_chain(query)[-1]).items()))
        return replace(self, _defaults=defaults, _earlier=(*self._earlier, *earlier))

    def url(self, image_id: str, **parameters: Unpack[Parameters]) -> str:
        """Return the URL of a picture: always the same for the same picture, so that caches store it once.

        Raises BadTransform with every mistake in the parameters, or ValueError if no image can have this id.
        """
        return self._url(image_id, self._values(parameters))

    def srcset(self, image_id: str, **options: Unpack[SrcsetOptions]) -> str:
        """Return the value of a `srcset` attribute, with candidates either by width or by density.

        Raises BadTransform or ValueError as `url`; or there are no candidates.
        """
        plan, _, values = self._read(cast("ImgOptions", options))
        candidates = plan.candidates(values)
        if not candidates:
            raise ValueError("srcset: expected widths or densities, but received neither")
        return self._srcset(image_id, candidates)

    def img(self, image_id: str, *, alt: str, **options: Unpack[ImgOptions]) -> Html:
        """Return an `<img>`; with width and height if its proportions are known, so that the page does not jump.

        Args:
            image_id: of the original.
            alt: the text shown if the picture is not; empty for decoration.
            options: candidates, attributes and parameters of the picture.

        Raises BadTransform or ValueError as `url`; or the candidates contradict the parameters.
        """
        return self._img(image_id, alt, *self._read(options))

    def picture(
        self, image_id: str, *, alt: str, formats: Iterable[str] = ("avif", "webp"), **options: Unpack[ImgOptions]
    ) -> Html:
        """Return a `<picture>`: a `<source>` for each format, best first, and the `img` of the same arguments.

        Raises BadTransform or ValueError as `img`; or a format is not one that a server writes.
        """
        plan, own, values = self._read(options)
        sizes = own.get("sizes") if plan.widths else None
        sources = []
        for name in formats:
            encoded = read_parameters({"format": name}, values)
            kind = FORMATS.get(str(encoded.get("format")))
            if kind is None:
                raise ValueError(f"formats: expected the name of one format, but received {name}")
            srcset = self._srcset(image_id, plan.candidates(encoded)) or self._url(image_id, encoded)
            sources.append(element("source", {"type": kind.media_type, "sizes": sizes, "srcset": srcset}))
        return Html("".join(["<picture>", *sources, self._img(image_id, alt, plan, own, values), "</picture>"]))

    def _values(self, source: Mapping[str, Any] | str) -> dict[str, Any]:
        return read_parameters(source, dict(self._defaults))

    def _read(self, options: ImgOptions) -> tuple[SrcsetPlan, ImgOptions, dict[str, Any]]:
        """Split options into the candidates, the element, and the values of the parameters."""
        own = cast("ImgOptions", {name: value for name, value in options.items() if name in _OPTIONS})
        size = own.get("original_width"), own.get("original_height")
        for step in self._earlier:
            size = size_of(read_parameters(step), size)
        plan = SrcsetPlan.of(own.get("widths", ()), own.get("densities", ()), *size)
        return plan, own, self._values({name: value for name, value in options.items() if name not in own})

    def _img(self, image_id: str, alt: str, plan: SrcsetPlan, own: ImgOptions, values: Mapping[str, Any]) -> Html:
        candidates = plan.candidates(values)
        widest = candidates[-1].values if plan.widths else values
        size = plan.size({name: value for name, value in widest.items() if name != "dpr"})
        width, height = size if None not in size else (None, None)
        attributes: dict[str, AttributeValue] = {
            "width": width,
            "height": height,
            "alt": alt,
            "loading": own.get("loading", "lazy"),
            "decoding": own.get("decoding", "async"),
            **{name.lower(): value for name, value in (own.get("attributes") or {}).items()},
            "sizes": own.get("sizes") if plan.widths else None,
            "srcset": self._srcset(image_id, candidates) or None,
        }
        attributes.pop("src", None)
        # The URL comes last: a browser must not request it before it has read the other attributes.
        return element("img", {**attributes, "src": self._url(image_id, widest)})

    def _srcset(self, image_id: str, candidates: Iterable[Candidate]) -> str:
        """Return the value of a `srcset` attribute; URLs contain no space, and no comma at an end."""
        return ", ".join(f"{self._url(image_id, item.values)} {item.descriptor}" for item in candidates)

    def _url(self, image_id: str, values: Mapping[str, Any]) -> str:
        path, preset = f"{self.base}/{encoded_id(image_id)}", str(values.get("preset", "")).lower()
        if preset:
            values = {**values, "preset": preset}
        in_path = self.preset_in_path and not self._earlier and _PATH_NAME.fullmatch(preset) is not None
        if in_path:
            path = f"{path}/{preset}"
            values = {name: value for name, value in values.items() if name != "preset"}
        query = "&then&".join([*self._earlier, compose(values, over_preset=in_path)])
        url = f"{path}?{query}" if query else path
        return signed_url(self.secret, url, expires=self.expires) if self.secret else url
