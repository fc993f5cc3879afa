"""`<img>`, `<source>` and `srcset` of pictures whose addresses are made elsewhere."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from imgserve.client.ladder import Candidate, Offer
from imgserve.client.markup import AttributeValue, Html, element
from imgserve.formats import FORMATS

Address = Callable[[Mapping[str, Any]], str]
"""Writes the address of one image with these parameters by attribute."""


def srcset_text(address: Address, candidates: Iterable[Candidate]) -> str:
    """Write candidates with their descriptors; an address has neither spaces nor a comma at an end."""
    return ", ".join(f"{address(item.values)} {item.descriptor}" for item in candidates)


def img_element(
    address: Address,
    values: Mapping[str, Any],
    offer: Offer,
    sizes: str | None,
    attributes: Mapping[str, AttributeValue],
) -> Html:
    """Write an `<img>`; of what it knows, `attributes` may change all but the addresses."""
    candidates = offer.candidates(values)
    widest = candidates[-1].values if offer.widths else values
    shown = {name: value for name, value in widest.items() if name != "dpr"}
    width, height = offer.extent(shown).known or (None, None)
    chosen = {"sizes": sizes if offer.widths else None, "srcset": srcset_text(address, candidates) or None}
    # The address comes last: a browser must not ask for it before it has read the rest.
    return element("img", {"width": width, "height": height, **attributes, **chosen, "src": address(widest)})


def source_element(address: Address, values: Mapping[str, Any], offer: Offer, sizes: str | None) -> Html:
    """Write a `<source>` of the one format that the parameters name.

    Raises:
        ValueError: they name none.
    """
    named = FORMATS.get(str(values.get("format")))
    if named is None:
        raise ValueError(f"formats: expected the name of one format, but received {values.get('format') or 'auto'}")
    candidates = srcset_text(address, offer.candidates(values)) or address(values)
    chosen = sizes if offer.widths else None
    return element("source", {"type": named.media_type, "sizes": chosen, "srcset": candidates})
