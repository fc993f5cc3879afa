"""The URL builder: URLs of pictures, `srcset`, `<img>` and `<picture>`, computed without a request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Unpack, cast

from imgserve.client.address import checked_base, encoded_id, fits_path
from imgserve.client.markup import AttributeValue, Html, UrlOf, img_element, source_element, srcset_text
from imgserve.client.parameters import Parameters
from imgserve.client.srcset import SrcsetPlan
from imgserve.transform import compose, read_parameters


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
    _defaults: tuple[tuple[str, Any], ...] = field(default=(), kw_only=True)
    """Values by attribute, sorted."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", checked_base(self.base))

    def with_(self, **parameters: Unpack[Parameters]) -> "ImageUrls":
        """Return a builder with these parameters as defaults of all URLs; None removes one.

        Raises:
            BadTransform: with every mistake.
        """
        return self._with(parameters)

    def with_query(self, query: str) -> "ImageUrls":
        """Return a builder with the parameters of a query, such as `w=400&fm=auto`, as defaults.

        Raises:
            BadTransform: with every mistake.
        """
        return self._with(query)

    def url(self, image_id: str, **parameters: Unpack[Parameters]) -> str:
        """Return the URL of a picture: always the same for the same picture, so that caches store it once.

        Raises:
            BadTransform: with every mistake in the parameters.
            ValueError: no image can have this id.
        """
        return self._url(image_id, self._values(parameters))

    def srcset(self, image_id: str, **options: Unpack[SrcsetOptions]) -> str:
        """Return the value of a `srcset` attribute, with candidates either by width or by density.

        Raises:
            BadTransform, ValueError: as `url`; or there are no candidates.
        """
        plan, _, values = self._read(cast("ImgOptions", options))
        candidates = plan.candidates(values)
        if not candidates:
            raise ValueError("srcset: expected widths or densities, but received neither")
        return srcset_text(self._url_of(image_id), candidates)

    def img(self, image_id: str, *, alt: str, **options: Unpack[ImgOptions]) -> Html:
        """Return an `<img>`; with width and height if its proportions are known, so that the page does not jump.

        Args:
            image_id: of the original.
            alt: the text shown if the picture is not; empty for decoration.
            options: candidates, attributes and parameters of the picture.

        Raises:
            BadTransform, ValueError: as `url`; or the candidates contradict the parameters.
        """
        plan, element, values = self._read(options)
        return img_element(self._url_of(image_id), values, plan, element.get("sizes"), _attributes(alt, element))

    def picture(
        self, image_id: str, *, alt: str, formats: Iterable[str] = ("avif", "webp"), **options: Unpack[ImgOptions]
    ) -> Html:
        """Return a `<picture>`: a `<source>` for each format, best first, and the `img` of the same arguments.

        Raises:
            BadTransform, ValueError: as `img`; or a format is not one that a server writes.
        """
        plan, element, values = self._read(options)
        url_of, sizes = self._url_of(image_id), element.get("sizes")
        sources = [source_element(url_of, read_parameters({"format": name}, values), plan, sizes) for name in formats]
        img = img_element(url_of, values, plan, sizes, _attributes(alt, element))
        return Html("".join(["<picture>", *sources, img, "</picture>"]))

    def _with(self, source: Mapping[str, Any] | str) -> "ImageUrls":
        return replace(self, _defaults=tuple(sorted(self._values(source).items())))

    def _values(self, source: Mapping[str, Any] | str) -> dict[str, Any]:
        return read_parameters(source, dict(self._defaults))

    def _read(self, options: ImgOptions) -> tuple[SrcsetPlan, ImgOptions, dict[str, Any]]:
        """Split options into the candidates, the element, and the values of the parameters."""
        own = cast("ImgOptions", {name: value for name, value in options.items() if name in _OPTIONS})
        plan = SrcsetPlan.of(
            own.get("widths", ()), own.get("densities", ()), own.get("original_width"), own.get("original_height")
        )
        return plan, own, self._values({name: value for name, value in options.items() if name not in own})

    def _url_of(self, image_id: str) -> UrlOf:
        return partial(self._url, image_id)

    def _url(self, image_id: str, values: Mapping[str, Any]) -> str:
        path, preset = f"{self.base}/{encoded_id(image_id)}", str(values.get("preset", "")).lower()
        if preset:
            values = {**values, "preset": preset}
        in_path = self.preset_in_path and fits_path(preset)
        if in_path:
            path = f"{path}/{preset}"
            values = {name: value for name, value in values.items() if name != "preset"}
        query = compose(values, over_preset=in_path)
        return f"{path}?{query}" if query else path


def _attributes(alt: str, options: ImgOptions) -> dict[str, AttributeValue]:
    """Return the attributes of an `<img>`; their names are the same in any case."""
    own = {"alt": alt, "loading": options.get("loading", "lazy"), "decoding": options.get("decoding", "async")}
    return {**own, **{name.lower(): value for name, value in (options.get("attributes") or {}).items()}}
