"""Placeholder pictures for prototypes: an SVG with a color or a gradient, and its size or another text."""

import re
from collections.abc import Iterable
from html import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from imgserve.errors import BadTransform, ImageNotFound, quoted
from imgserve.http.headers import cache_control
from imgserve.transform import Color
from imgserve.transform.colors import COLOR
from imgserve.transform.kinds import ReadError
from imgserve.transform.pairs import Pair, split
from imgserve.web.documents import document
from imgserve.web.respond import SAFETY, Delivery

_PATH = re.compile(r"placeholder/([1-9][0-9]{0,4})x([1-9][0-9]{0,4})(?:\.svg)?")
_MOST_CHARACTERS = 100
_GRAY = "cccccc"
_NAMES = {"bg": "background"}
_SHARE_OF_HEIGHT, _SHARE_OF_WIDTH = 0.25, 1.4
"""Of the letters: in the height of the picture, and of all of them in its width, at about half an em each."""


def placeholder(path: str, query: bytes, scope: Scope, delivery: Delivery, max_side: int) -> Response | None:
    """Return the placeholder that a path names, or None for any other path.

    Raises BadTransform with every mistake in the query, or ImageNotFound if it would be larger than any picture.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    width, height = map(int, found.groups())
    if max(width, height) > max_side:
        raise ImageNotFound(f"There is no placeholder with a side above {max_side}.")
    body = _svg(width, height, *_read(split(query), f"{width} \u00d7 {height}"))
    response = document(Request(scope), body.encode(), "image/svg+xml", cache=cache_control(delivery.policy))
    for name, value in (*SAFETY, (b"cross-origin-resource-policy", b"cross-origin")):
        response.headers[name.decode()] = value.decode()
    for field in delivery.vary:
        response.headers.add_vary_header(field)
    return response


def _read(pairs: Iterable[Pair], text: str) -> tuple[list[Color], Color | None, str]:
    """Return the background colors, the color of the text if it is named, and the text."""
    values = {_NAMES.get(pair.name, pair.name): pair.value.decode("utf-8", "replace") for pair in pairs}
    mistakes, colors = list[str](), dict[str, list[Color]]()
    for name, most in (("background", 2), ("color", 1)):
        words = values[name].split(",") if name in values else []
        try:
            colors[name] = [COLOR.read(word) for word in words]
        except ReadError:
            words = [""] * (most + 1)
        if len(words) > most:
            expects = f"{COLOR.expects}{', or two with a comma between them' if most > 1 else ''}"
            mistakes.append(f"{name}: expected {expects}, but received {quoted(values[name])}")
    text = values.get("text", text)
    if len(text) > _MOST_CHARACTERS or not text.isprintable():
        mistakes.append(f"text: expected at most {_MOST_CHARACTERS} printable characters")
    if mistakes:
        raise BadTransform(mistakes)
    return colors["background"] or [COLOR.read(_GRAY)], next(iter(colors["color"]), None), text


def _svg(width: int, height: int, ground: list[Color], color: Color | None, text: str) -> str:
    fill, gradient = _css(ground[0]), ""
    if len(ground) > 1:
        stops = (f'<stop offset="{place}" stop-color="{_css(one)}"/>' for place, one in enumerate(ground))
        fill = "url(#g)"
        gradient = f'<linearGradient id="g" x2="1" y2="1">{"".join(stops)}</linearGradient>'
    light = sum(one[0] * 0.299 + one[1] * 0.587 + one[2] * 0.114 for one in ground) / len(ground)
    letters = _css(color or ((0, 0, 0, 190) if light > 127 else (255, 255, 255, 230)))  # noqa: PLR2004  half of 255
    size = min(height * _SHARE_OF_HEIGHT, width * _SHARE_OF_WIDTH / max(len(text), 1))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'{gradient}<rect width="100%" height="100%" fill="{fill}"/>'
        f'<text x="50%" y="50%" fill="{letters}" font-family="system-ui,sans-serif" font-size="{size:.1f}" '
        f'text-anchor="middle" dominant-baseline="central">{escape(text)}</text></svg>'
    )


def _css(color: Color) -> str:
    red, green, blue, alpha = color
    return f"rgb({red} {green} {blue} / {alpha / 255:.3g})"
