"""Code that embeds a picture: HTML, CSS, Markdown, curl and Python."""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

from imgserve.client import ImageUrls
from imgserve.client.parameters import Parameters
from imgserve.client.srcset import Sides, size_of
from imgserve.formats import FORMATS
from imgserve.http.headers import AcceptClass
from imgserve.transform import MAX_SIDE, read_parameters
from imgserve.transform.pairs import split_chain
from imgserve.web.api.messages import ResponseModel

WIDTHS = (320, 640, 960, 1280, 1920)
MODERN: AcceptClass = ("avif", "webp")
"""The formats of `<picture>`, best first."""
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_MARKDOWN, _ESCAPED = re.compile(r"[\\\[\]]"), r"\\\g<0>"
_LARGE = 2


class CodeOut(ResponseModel):
    """Code that embeds a picture."""

    img: str
    """An `<img>` with a `srcset`."""
    picture: str
    """A `<picture>` with AVIF and WebP."""
    css: str
    """A background with `image-set`."""
    markdown: str
    curl: str
    python: str
    """A call of the client's URL builder, which needs no request."""


def embedding(
    urls: ImageUrls, image_id: str, requested: str, query: str, *, alt: str, upright: tuple[int, int], needs_key: bool
) -> CodeOut:
    """Return code for a picture, of an original of this size.

    `requested` is the query as it was requested. `query` is the shortest one, with `dpr` in its sizes.
    """
    values, made = read_parameters(split_chain(query)[-1]), urls.with_query(query)
    url = made.url(image_id)
    (*earlier, last), page = map(read_parameters, split_chain(requested)), urls.with_query(requested)
    options = {**candidates(last), "original_width": upright[0], "original_height": upright[1]}
    if isinstance(last.get("width"), int):
        # As `sizes` says; the client would return the size of the widest candidate.
        size: Sides = upright
        for step in (*earlier, {name: value for name, value in last.items() if name != "dpr"}):
            size = size_of(step, size)
        options["attributes"] = {} if None in size else dict(zip(("width", "height"), size, strict=True))
    img = page.img(image_id, alt=alt, **options)
    picture = page.picture(image_id, alt=alt, formats=MODERN, **options)
    return CodeOut(
        img=_lines(img),
        picture=_lines(picture.replace("><", ">\n<")),
        css=_css(made, image_id, url, values),
        markdown=f"![{_MARKDOWN.sub(_ESCAPED, alt)}]({url})",
        curl=_curl(image_id, url, values, needs_key=needs_key),
        python=_python(urls, image_id, query),
    )


def candidates(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options by which a browser may choose among sizes of the picture."""
    width, height = values.get("width"), values.get("height")
    if "preset" in values or (isinstance(height, int) and width is None):
        return {"dpr": None, "densities": (1, 2)}
    if isinstance(width, float) or isinstance(height, float):
        return {}
    if width is None:
        return {"dpr": None, "widths": WIDTHS, "sizes": "100vw"}
    widths = sorted({max(1, width // 2), width, min(_LARGE * width, MAX_SIDE)})
    options = {"width": None, "dpr": None, "widths": widths, "sizes": f"(min-width: {width}px) {width}px, 100vw"}
    return options if height is None else {**options, "height": None, "aspect": f"{width}:{height}"}


def _lines(markup: str) -> str:
    """Return markup with the candidates of each `srcset` on lines of their own."""
    return re.sub(r"(?<=[0-9][wx]), ", ",\n    ", markup)


def _css(made: ImageUrls, image_id: str, url: str, values: Mapping[str, Any]) -> str:
    sized = "dpr" not in values and any(isinstance(values.get(side), int) for side in ("width", "height"))
    choices = list[str]()
    for name in (*MODERN, ""):
        kind = f' type("{FORMATS[name].media_type}")' if name else ""
        for density in (1, 2) if sized else (1,):
            more = {"format": name} if name else {}
            more |= {"dpr": str(density)} if density > 1 else {}
            choices.append(f'url("{made.url(image_id, **cast("Parameters", more))}") {density}x{kind}')
    listed = ",\n    ".join(choices)
    return f'.picture {{\n  background-image: url("{url}");\n  background-image: image-set(\n    {listed}\n  );\n}}'


def _curl(image_id: str, url: str, values: Mapping[str, Any], *, needs_key: bool) -> str:
    negotiated = not {"format", "best"}.isdisjoint(values.get("auto", ()))
    own = image_id.rpartition("/")[2]
    form = FORMATS.get(str(values.get("format")))
    name = f"{own.rpartition('.')[0] or own}.{form.extensions[0]}" if form else own
    headers = ["-H 'Accept: image/avif,image/webp'"] if negotiated else []
    headers += ['-H "X-API-Key: $IMGSERVE_KEY"'] if needs_key else []
    return " ".join(["curl", *headers, "-o", shlex.quote(name), shlex.quote(url)])


def _python(urls: ImageUrls, image_id: str, query: str) -> str:
    secret = ', secret=os.environ["IMGSERVE_SIGNING_SECRET"]' if urls.secret else ""
    expires = f", expires={urls.expires}" if urls.expires else ""
    lines = ["import os\n"] if secret else []
    lines += ["from imgserve.client import ImageUrls\n", f"urls = ImageUrls({urls.base!r}{secret}{expires})"]
    chain = len(split_chain(query)) > 1
    arguments = ", ".join([repr(image_id), *([] if chain else _arguments(query))])
    return "\n".join([*lines, f"print(urls{f'.with_query({query!r})' * chain}.url({arguments}))"])


def _arguments(query: str) -> Iterator[str]:
    """Yield the parameters of a query as arguments in Python."""
    for name, value in parse_qsl(query, keep_blank_values=True):
        number = _NUMBER.fullmatch(value) and str(int(value) if value.isdigit() else float(value)) == value
        yield f"{name.replace('-', '_')}={value if number else repr(value)}"


def alternative(image_id: str, title: str, alt: str) -> str:
    """Return the text that stands for a picture: as recorded, or else the words of its file name."""
    stem = image_id.rpartition("/")[2].rpartition(".")[0]
    return alt or title or re.sub(r"[-_.\s]+", " ", stem).strip()
