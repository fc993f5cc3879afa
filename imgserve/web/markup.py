"""Documents that show a picture on a web page: `srcset`, `<img>` and `<picture>`."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from imgserve.access.access import Access
from imgserve.access.keys import Scope
from imgserve.client import ImageUrls
from imgserve.errors import Forbidden
from imgserve.formats import FORMATS
from imgserve.geometry.box import Size
from imgserve.images.facts import FactsReader
from imgserve.images.settings import QuerySettings
from imgserve.transform import MAX_DPR, Transform, read_parameters
from imgserve.transform.pairs import THEN, Pair, is_signature, split_chain
from imgserve.transform.parameters import BY_NAME, DOCUMENTS
from imgserve.transform.signing import without
from imgserve.web.api.embedding import MODERN, alternative, candidates
from imgserve.web.facts import JSON, TEXT, Document, DocumentRequest, MakeDocument
from imgserve.web.respond import image_path


@dataclass(frozen=True, slots=True)
class _Shown:
    """A picture on a page."""

    path: str
    """After the prefix, without a preset."""
    urls: ImageUrls
    options: dict[str, Any]
    """Of `ImageUrls.img`."""
    formats: tuple[str, ...]
    """The formats of `<picture>`, best first."""

    def img(self) -> str:
        return self.urls.img(self.path, **self.options)

    def picture(self) -> str:
        return self.urls.picture(self.path, formats=self.formats, **self.options).replace("><", ">\n<")

    def srcset(self) -> list[str]:
        """Return the candidates, each with its descriptor; one without if there is no choice."""
        plain = {name: value for name, value in self.options.items() if name not in {"alt", "attributes", "sizes"}}
        if not ({"widths", "densities"} & plain.keys()):
            return [self.urls.url(self.path)]
        return self.urls.srcset(self.path, **plain).split(", ")


def markup_documents(facts: FactsReader, access: Access, *, base: str, prefix: str) -> dict[str, MakeDocument]:
    """Return the documents that are markup, by the format that names them.

    `base` is the scheme and host of URLs in them; empty for paths on the page's own host.
    """

    def document(write: Callable[[_Shown, DocumentRequest], tuple[str, str]], *vary: str) -> MakeDocument:
        async def make(requested: DocumentRequest) -> Document:
            shown, lasting = await _shown(requested, facts, access, base, prefix)
            media_type, text = write(shown, requested)
            return Document(media_type, f"{text}\n".encode(), lasting, vary)

        return make

    return {
        "img": document(lambda shown, _: (TEXT, shown.img())),
        "picture": document(lambda shown, _: (TEXT, shown.picture())),
        "srcset": document(_srcset, "Accept"),
    }


def _srcset(shown: _Shown, requested: DocumentRequest) -> tuple[str, str]:
    """Return candidates as text, or as a list for clients that accept JSON."""
    accept = b",".join(value for name, value in requested.scope["headers"] if name == b"accept")
    if JSON.encode() not in accept.lower():
        return TEXT, ",\n".join(shown.srcset())
    pairs = (one.partition(" ")[::2] for one in shown.srcset())
    return JSON, json.dumps([{"url": url, "descriptor": descriptor} for url, descriptor in pairs], indent=2)


async def _shown(
    requested: DocumentRequest, facts: FactsReader, access: Access, base: str, prefix: str
) -> tuple[_Shown, bool]:
    """Return what shows a picture, and whether the catalog could be read."""
    rendition, rules = requested.rendition, access.rules(requested.grant.site)
    settings, original = requested.grant.settings or rules.query, rendition.original
    found = await facts.read(original)
    path, query = _address(requested, settings, prefix)
    urls = _signing(requested, access, ImageUrls(base + requested.scope.get("root_path", "") + prefix))
    values = read_parameters(split_chain(query)[-1])
    planned = facts.plan(original, rendition.transform, found.file, rendition.earlier)
    attributes: dict[str, Any] = {}
    if planned is not None:
        preset = settings.presets.get(rendition.query.preset or "")
        density = float(values.get("dpr") or (preset and preset.values.get("dpr")) or 1)
        attributes |= asdict(_on_page(planned.size, rendition.transform, min(density, MAX_DPR)))
    if found.file.dominant_color and not found.file.alpha:
        attributes["style"] = f"background-color:{found.file.dominant_color}"
    options = {
        **_choices(values, settings, requested),
        "original_width": found.file.width,
        "original_height": found.file.height,
        "alt": alternative(original.image_id, found.title, found.alt),
        "attributes": attributes,
    }
    modern = settings.variety.accepted(MODERN) if _may_name("format", settings, requested) else ()
    # The first frame of an animation is not better than the animation.
    formats = tuple(name for name in modern if FORMATS[name].animation or found.file.frames == 1)
    return _Shown(path, urls.with_query(query), options, formats), found.lasting


def _on_page(size: Size, transform: Transform, density: float) -> Size:
    """Return the size of a picture in the pixels of the page, also if its original is too small for the density."""
    sides = ((transform.width, size.width), (transform.height, size.height))
    short = min((wanted / got for wanted, got in sides if isinstance(wanted, int)), default=1.0)
    factor = max(1.0, density / max(1.0, short)) if density > 1 else density
    return Size(*(max(1, round(side / factor)) for side in (size.width, size.height)))


def _address(requested: DocumentRequest, settings: QuerySettings, prefix: str) -> tuple[str, str]:
    """Return the path without a preset, and the query of the picture with it; what means nothing is left out."""
    path, rendition = image_path(requested.scope, prefix), requested.rendition
    query = without(requested.grant.query, _is_no_parameter).decode("utf-8", "surrogateescape")
    folder, _, last = path.rpartition("/")
    preset = settings.presets.get(last.lower())
    if folder and preset and preset.name in rendition.query.presets and rendition.original.image_id != path:
        return folder, f"preset={preset.name}&{query}".rstrip("&")
    return path, query


def _is_no_parameter(pair: Pair) -> bool:
    """Return whether a pair is not about how the picture looks, or names the document."""
    plain = pair.name.removesuffix("64")
    if pair.name == THEN.decode():
        return False
    document = pair.name == "f" and pair.value.lower().decode("latin-1") in DOCUMENTS
    about_file = plain in {"format", "fm", "download", "dl"}
    return document or about_file or plain not in BY_NAME or is_signature(pair)


def _signing(requested: DocumentRequest, access: Access, urls: ImageUrls) -> ImageUrls:
    """Return a builder that signs where that is necessary and the caller may sign; otherwise raise Forbidden."""
    rules, caller = access.rules(requested.grant.site), requested.grant.caller
    if rules.require in {"signature", "either"} and rules.secrets and caller is not None and caller.may(Scope.MANAGE):
        return replace(urls, secret=rules.secrets[0], expires=requested.grant.expires)
    if rules.require == "signature":
        raise Forbidden("These URLs need signatures, which only a caller with an API key of the scope manage receives.")
    return urls


def _may_name(attribute: str, settings: QuerySettings, requested: DocumentRequest) -> bool:
    """Return whether a URL of the picture may have a parameter of its own."""
    variety, preset = settings.variety, settings.presets.get(requested.rendition.query.preset or "")
    locked = preset is not None and attribute in preset.locked
    return not (variety.presets_only or locked or (variety.parameters and attribute not in variety.parameters))


def _choices(values: dict[str, Any], settings: QuerySettings, requested: DocumentRequest) -> dict[str, Any]:
    """Return the options by which a browser may choose among sizes, as far as URLs may request them."""
    options = candidates(values)
    if "widths" in options and _may_name("width", settings, requested):
        return {**options, "widths": settings.sizes} if settings.sizes else options
    dense = "densities" in options and not settings.sizes and _may_name("dpr", settings, requested)
    return options if dense else {}
