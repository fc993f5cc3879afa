"""Documents about a picture at its URL, such as its facts: made without rendering, for whoever may see the picture."""

import base64
import colorsys
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from imgserve.access.access import Access, Grant
from imgserve.formats import FORMATS
from imgserve.http.headers import CachePolicy, accept_class, cache_control
from imgserve.images.explain import Explainer
from imgserve.images.facts import FactsReader, PublicFacts
from imgserve.images.resolve import RenditionRequest
from imgserve.images.settings import QuerySettings
from imgserve.web.documents import Readers, check_reader, document
from imgserve.web.respond import SAFETY, ImageResponse

JSON, TEXT, CSS = "application/json", "text/plain", "text/css"
_COLORS = 6
_SATURATED = 0.4
_LIGHT, _DARK = 0.65, 0.35


@dataclass(frozen=True, slots=True)
class DocumentRequest:
    """A request for a document about a rendition."""

    scope: Scope
    grant: Grant
    rendition: RenditionRequest


@dataclass(frozen=True, slots=True)
class Document:
    """A document about a picture."""

    media_type: str
    body: bytes
    lasting: bool = True
    """Whether caches may store it as long as the picture."""
    vary: tuple[str, ...] = ()
    """Request headers on which it depends."""
    momentary: bool = False
    """It is out of date at once, so that nobody may store it."""


MakeDocument = Callable[[DocumentRequest], Awaitable[Document]]
"""Makes a document; raises ImgserveError."""


async def document_response(
    make: MakeDocument, requested: DocumentRequest, response: ImageResponse, *, settled: bool
) -> Response:
    """Return the response with a document, cached and embedded as the picture is; raises as `document` and `make`."""
    made, delivery = await make(requested), response.delivery
    policy = delivery.policy if settled and made.lasting else CachePolicy(0, scope=delivery.policy.scope)
    policy = CachePolicy(0, scope="no-store") if made.momentary else policy
    answer = document(Request(requested.scope), made.body, made.media_type, cache=cache_control(policy))
    embedding = (b"cross-origin-resource-policy", b"same-site" if delivery.same_site else b"cross-origin")
    for name, value in (*SAFETY, embedding, *response.tags, *response.ignored):
        answer.headers[name.decode()] = value.decode("latin-1")
    for field in (*response.vary, *made.vary):
        answer.headers.add_vary_header(field)
    return answer


def fact_documents(facts: FactsReader) -> dict[str, MakeDocument]:
    """Return the documents that consist of facts, by the format that names them."""

    def about(media_type: str, text: Callable[[RenditionRequest, PublicFacts], str]) -> MakeDocument:
        async def make(requested: DocumentRequest) -> Document:
            found = await facts.read(requested.rendition.original)
            return Document(media_type, text(requested.rendition, found).encode(), found.lasting)

        return make

    def described(rendition: RenditionRequest, found: PublicFacts) -> str:
        return json.dumps(_described(rendition, found, facts), indent=2)

    return {
        "json": about(JSON, described),
        "palette=json": about(
            JSON, lambda rendition, found: json.dumps(_palette_json(_colors(rendition, found)), indent=2)
        ),
        "palette=css": about(
            CSS, lambda rendition, found: _palette_css(_colors(rendition, found), rendition.query.prefix)
        ),
        "blurhash": about(TEXT, lambda _, found: found.file.blurhash),
        "thumbhash": about(TEXT, lambda _, found: base64.b64encode(found.file.thumbhash).decode()),
    }


def _described(rendition: RenditionRequest, found: PublicFacts, facts: FactsReader) -> Mapping[str, Any]:
    """Return the facts under the names of the API."""
    original, file = rendition.original, found.file
    output = FORMATS[rendition.transform.format or original.format.name]
    planned = facts.plan(original, rendition.transform, file, rendition.earlier)
    return {
        "id": original.image_id,
        "title": found.title,
        "alt": found.alt,
        "format": file.format,
        "media_type": FORMATS[file.format].media_type,
        "bytes": file.size,
        "width": file.width,
        "height": file.height,
        "orientation": original.orientation,
        "frames": file.frames,
        "alpha": file.alpha,
        "color_space": file.color_space,
        "dominant_color": file.dominant_color,
        "palette": list(file.palette),
        "blurhash": file.blurhash,
        "thumbhash": base64.b64encode(file.thumbhash).decode(),
        "focal_point": original.focal_point and asdict(original.focal_point),
        "faces": [asdict(face) for face in file.faces],
        "metadata": dict(found.metadata),
        "rendition": {
            "format": output.name,
            "media_type": output.media_type,
            "width": planned and planned.size.width,
            "height": planned and planned.size.height,
        },
    }


def _colors(rendition: RenditionRequest, found: PublicFacts) -> Sequence[str]:
    return found.file.palette[: rendition.query.transform.colors or _COLORS]


def _palette_json(colors: Sequence[str]) -> Mapping[str, Any]:
    """Return colors as `#rrggbb` with their parts from 0 to 1, and the first of each kind."""
    return {
        "colors": [_color_parts(color) for color in colors],
        "dominant_colors": {kind: _color_parts(color) for kind, color in _kinds_of_colors(colors)},
    }


def _palette_css(colors: Sequence[str], prefix: str) -> str:
    """Return a style sheet with two classes for each color: of the text, and of the background."""
    names = [*((str(number), color) for number, color in enumerate(colors, 1)), *_kinds_of_colors(colors)]
    rules = [
        f".{prefix}-fg-{name.replace('_', '-')} {{ color: {color} !important; }}\n"
        f".{prefix}-bg-{name.replace('_', '-')} {{ background-color: {color} !important; }}\n"
        for name, color in names
    ]
    return "".join(rules)


def _kinds_of_colors(colors: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the most frequent color of each kind that there is: vibrant or muted, light or dark or neither."""
    found = dict[str, str]()
    for color in colors:
        _, lightness, saturation = colorsys.rgb_to_hls(*_parts(color))
        name = "vibrant" if saturation >= _SATURATED else "muted"
        shade = "_light" if lightness >= _LIGHT else "_dark" if lightness <= _DARK else ""
        found.setdefault(f"{name}{shade}", color)
    yield from sorted(found.items())


def _color_parts(color: str) -> Mapping[str, Any]:
    red, green, blue = _parts(color)
    return {"red": red, "green": green, "blue": blue, "hex": color}


def _parts(color: str) -> tuple[float, float, float]:
    red, green, blue = (round(part / 255, 6) for part in bytes.fromhex(color[1:]))
    return red, green, blue


def explanation(explainer: Explainer, settings: QuerySettings, access: Access, readers: Readers) -> MakeDocument:
    """Return the document that explains a request, for some of those who may see the picture."""

    async def make(requested: DocumentRequest) -> Document:
        request, grant = Request(requested.scope), requested.grant
        await check_reader(request, readers, access)
        accepted = accept_class(", ".join(request.headers.getlist("accept")))
        found = await explainer.explain(requested.rendition, accepted, grant.settings or settings)
        return Document(JSON, json.dumps(found, indent=2).encode(), momentary=True)

    return make
