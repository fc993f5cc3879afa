"""The URL builder: addresses of pictures, `srcset`, `<img>` and `<picture>`, without a network."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Unpack

from imgserve.client.address import checked_base, encoded_id, fits_path
from imgserve.client.elements import Address, img_element, source_element, srcset_text
from imgserve.client.ladder import Offer
from imgserve.client.markup import AttributeValue, Html, merged
from imgserve.client.parameters import Parameters
from imgserve.client.size import original_extent
from imgserve.transform import compose, read_parameters

Loading = Literal["lazy", "eager"]
Decoding = Literal["async", "sync", "auto"]


@dataclass(frozen=True, slots=True)
class ImageUrls:
    """Addresses of the pictures of one server, checked by the server's own rules before anything is asked."""

    base: str
    """Where a server's pictures are: `https://img.example.com/img`, or a path on the page's own host."""
    preset_in_path: bool = field(default=False, kw_only=True)
    """Write a preset behind the image id instead of among the parameters."""
    _defaults: tuple[tuple[str, Any], ...] = field(default=(), kw_only=True)
    """Values by attribute, sorted."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", checked_base(self.base))

    def with_(self, **parameters: Unpack[Parameters]) -> "ImageUrls":
        """Give a builder with these parameters as defaults for all addresses; None takes one away.

        Raises:
            BadTransform: with every mistake.
        """
        return self._with(parameters)

    def with_query(self, query: str) -> "ImageUrls":
        """Give a builder with the parameters of a query, such as `w=400&fm=auto`, as defaults.

        Raises:
            BadTransform: with every mistake.
        """
        return self._with(query)

    def url(self, image_id: str, **parameters: Unpack[Parameters]) -> str:
        """Give the address of a picture: the same text for whatever is the same picture, so that caches keep it once.

        Raises:
            BadTransform: with every mistake in the parameters.
            ValueError: no image can have this id.
        """
        return self._address(image_id, self._asked(parameters))

    def srcset(
        self,
        image_id: str,
        *,
        widths: Iterable[int] = (),
        densities: Iterable[float] = (),
        original_width: int | None = None,
        original_height: int | None = None,
        **parameters: Unpack[Parameters],
    ) -> str:
        """Give the candidates of a `srcset`, either by width (`320w`) or by density (`2x`).

        With the size of the upright original none is larger than it, and each is as large as described.

        Raises:
            BadTransform, ValueError: as `url`; or there is nothing to choose from.
        """
        offer = Offer(tuple(widths), tuple(densities), original_extent(original_width, original_height))
        candidates = offer.candidates(self._asked(parameters))
        if not candidates:
            raise ValueError("srcset: expected widths or densities, but received neither")
        return srcset_text(self._at(image_id), candidates)

    def img(
        self,
        image_id: str,
        *,
        alt: str,
        widths: Iterable[int] = (),
        densities: Iterable[float] = (),
        sizes: str | None = None,
        original_width: int | None = None,
        original_height: int | None = None,
        loading: Loading | None = "lazy",
        decoding: Decoding | None = "async",
        attributes: Mapping[str, AttributeValue] | None = None,
        **parameters: Unpack[Parameters],
    ) -> Html:
        """Give an `<img>`; where its proportions can be told, with width and height, so that the page does not jump.

        Args:
            image_id: of the original.
            alt: what stands for the picture where it is not seen; empty for mere decoration.
            widths: of the pictures to choose from; the widest is for browsers that do not choose.
            densities: of the pictures to choose from, such as 1 and 2.
            sizes: how wide the page shows it, for the choice among widths.
            original_width: of the upright original, where known.
            original_height: likewise.
            loading: when; None leaves it to the browser.
            decoding: likewise.
            attributes: further ones, which go before those made here.
            parameters: of the picture.

        Raises:
            BadTransform, ValueError: as `url`; or the candidates contradict the parameters.
        """
        offer = Offer(tuple(widths), tuple(densities), original_extent(original_width, original_height))
        own = {"alt": alt, "loading": loading, "decoding": decoding}
        return img_element(self._at(image_id), self._asked(parameters), offer, sizes, merged(own, attributes))

    def picture(
        self,
        image_id: str,
        *,
        alt: str,
        formats: Iterable[str] = ("avif", "webp"),
        widths: Iterable[int] = (),
        densities: Iterable[float] = (),
        sizes: str | None = None,
        original_width: int | None = None,
        original_height: int | None = None,
        loading: Loading | None = "lazy",
        decoding: Decoding | None = "async",
        attributes: Mapping[str, AttributeValue] | None = None,
        **parameters: Unpack[Parameters],
    ) -> Html:
        """Give a `<picture>`: a `<source>` for each format, best first, and the `img` of the same arguments.

        Raises:
            BadTransform, ValueError: as `img`; or a format is none that a server writes.
        """
        offer = Offer(tuple(widths), tuple(densities), original_extent(original_width, original_height))
        own = {"alt": alt, "loading": loading, "decoding": decoding}
        at, values = self._at(image_id), self._asked(parameters)
        sources = [source_element(at, read_parameters({"format": name}, values), offer, sizes) for name in formats]
        img = img_element(at, values, offer, sizes, merged(own, attributes))
        return Html("".join(["<picture>", *sources, img, "</picture>"]))

    def _with(self, source: Mapping[str, Any] | str) -> "ImageUrls":
        return replace(self, _defaults=tuple(sorted(self._asked(source).items())))

    def _asked(self, source: Mapping[str, Any] | str) -> dict[str, Any]:
        return read_parameters(source, dict(self._defaults))

    def _at(self, image_id: str) -> Address:
        return partial(self._address, image_id)

    def _address(self, image_id: str, values: Mapping[str, Any]) -> str:
        path, preset = f"{self.base}/{encoded_id(image_id)}", str(values.get("preset", "")).lower()
        if preset:
            values = {**values, "preset": preset}
        in_path = self.preset_in_path and fits_path(preset)
        if in_path:
            path = f"{path}/{preset}"
            values = {name: value for name, value in values.items() if name != "preset"}
        query = compose(values, over_preset=in_path)
        return f"{path}?{query}" if query else path
