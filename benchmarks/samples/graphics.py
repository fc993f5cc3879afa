"""The samples that are no photographs: a vector drawing, glass with transparency, an animation."""

import math

import pyvips

_FRAMES = 24
_FRAME_MILLISECONDS = 70
_SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {box}">{body}</svg>'
_LETTERS = (
    (0, "M-9 12V-12L9 12V-12"),
    (90, "M8 -12H-7V12H8M-7 0H4"),
    (180, "M8 -8C3 -15 -9 -13 -8 -6C-7 2 9 -1 8 6C7 14 -5 14 -9 7"),
    (270, "M-14 -12L-7 12L0 -8L7 12L14 -12"),
)
"""Strokes, so that the drawing needs no font: degrees from the top and the path."""


def compass() -> str:
    """Draw a compass rose as SVG, sharp at any size."""
    ticks = "".join(
        f'<path d="M0 -{186 if turn % 10 else 178}V-194" stroke="#1d3f58" '
        f'stroke-width="{1.2 if turn % 10 else 2.4}" transform="rotate({turn})"/>'
        for turn in range(0, 360, 5)
    )
    points = "".join(_point(turn, 118, 20, "#9fb6bd", "#dfe7e4") for turn in (45, 135, 225, 315))
    points += "".join(_point(turn, 168, 30, "#1d3f58", "#f6f2e6") for turn in (90, 180, 270))
    points += _point(0, 168, 30, "#a8221c", "#e9573f")
    letters = "".join(
        f'<path d="{strokes}" transform="translate({216 * math.sin(math.radians(turn)):.0f} '
        f'{-216 * math.cos(math.radians(turn)):.0f})"/>'
        for turn, strokes in _LETTERS
    )
    body = (
        '<defs><radialGradient id="sea"><stop offset="0" stop-color="#fffdf5"/>'
        '<stop offset="1" stop-color="#e9dfc6"/></radialGradient></defs>'
        '<g transform="translate(250 250)"><circle r="246" fill="#1d3f58"/><circle r="238" fill="url(#sea)"/>'
        '<circle r="196" fill="none" stroke="#1d3f58" stroke-width="2"/>'
        f'{ticks}{points}<circle r="15" fill="#d9a441" stroke="#1d3f58" stroke-width="3"/>'
        '<g fill="none" stroke="#1d3f58" stroke-width="5" stroke-linejoin="round" stroke-linecap="round">'
        f"{letters}</g></g>"
    )
    return _SVG.format(width=500, height=500, box="500 500", body=body) + "\n"


def _point(turn: int, reach: int, half: int, dark: str, light: str) -> str:
    """Draw one point of the rose, one half in shade."""
    return (
        f'<g transform="rotate({turn})" stroke="#1d3f58" stroke-width="1.5" stroke-linejoin="round">'
        f'<path d="M0 -{reach}L{half} -{half}L0 0Z" fill="{dark}"/>'
        f'<path d="M0 -{reach}L-{half} -{half}L0 0Z" fill="{light}"/></g>'
    )


def glass(side: int) -> pyvips.Image:
    """Paint three panes of colored glass and their soft shadow on nothing at all."""
    panes = "".join(
        f'<circle cx="{cx}" cy="{cy}" r="235" fill="url(#{name})" stroke="#fff" stroke-opacity=".65" stroke-width="5"/>'
        for cx, cy, name in ((500, 365, "rose"), (372, 585, "sea"), (628, 585, "sun"))
    )
    shines = "".join(
        f'<ellipse cx="{cx - 82}" cy="{cy - 128}" rx="74" ry="36" fill="#fff" fill-opacity=".42" '
        f'transform="rotate(-34 {cx - 82} {cy - 128})"/>'
        for cx, cy in ((500, 365), (372, 585), (628, 585))
    )
    colors = (("rose", "#ff8fa3", "#e01e5a"), ("sea", "#7fe3ff", "#0a6fd0"), ("sun", "#ffe38a", "#f08a00"))
    defs = "".join(
        f'<radialGradient id="{name}" cx=".38" cy=".3" r=".85">'
        f'<stop offset="0" stop-color="{pale}" stop-opacity=".55"/>'
        f'<stop offset="1" stop-color="{deep}" stop-opacity=".86"/></radialGradient>'
        for name, pale, deep in colors
    )
    drawing = _SVG.format(width=side, height=side, box="1000 1000", body=f"<defs>{defs}</defs>{panes}{shines}")
    shape = pyvips.Image.svgload_buffer(drawing.encode()).copy_memory()
    shadow = shape[3].cast("float").gaussblur(side * 0.022) * 0.42
    fallen = shadow.embed(int(side * 0.012), int(side * 0.04), side, side, extend="black").cast("uchar")
    dark = pyvips.Image.black(side, side).bandjoin([24, 48]).cast("uchar")
    return dark.bandjoin(fallen).copy(interpretation="srgb").composite(shape, "over").cast("uchar")


def tide(width: int, height: int) -> pyvips.Image:
    """Paint a paper boat on rolling waves: an endless animation, its frames above one another."""
    frames = [
        pyvips.Image.svgload_buffer(_tide_frame(index / _FRAMES, width, height).encode())[0:3]
        for index in range(_FRAMES)
    ]
    film = pyvips.Image.arrayjoin(frames, across=1).copy(interpretation="srgb").copy_memory()
    film.set_type(pyvips.GValue.gint_type, "page-height", height)
    film.set_type(pyvips.GValue.array_int_type, "delay", [_FRAME_MILLISECONDS] * _FRAMES)
    film.set_type(pyvips.GValue.gint_type, "loop", 0)
    return film


def _swell(x: float, time: float, layer: int) -> float:
    """Return the height of one layer of waves; whole turns in time make the film endless."""
    turn = math.tau * time * (1 if layer % 2 else -1)
    return 15 * math.sin(x / 74 + layer * 1.7 + turn) + 5 * math.sin(x / 31 + layer * 2.9 - 2 * turn)


def _wave(time: float, layer: int, color: str) -> str:
    level = 232 + 34 * layer
    crest = "L".join(f"{x} {level + _swell(x, time, layer):.1f}" for x in range(-8, 649, 8))
    return f'<path d="M-8 480L{crest}L648 480Z" fill="{color}"/>'


def _boat(time: float) -> str:
    x, layer = 300, 2
    rise = _swell(x, time, layer)
    tilt = math.degrees(math.atan2(_swell(x + 45, time, layer) - _swell(x - 45, time, layer), 90))
    return (
        f'<g transform="translate({x} {282 + rise:.1f}) rotate({tilt:.2f})">'
        '<path d="M-14 -8L0 -104L44 -8Z" fill="#fff8ea"/><path d="M-14 -8L0 -104L-44 -8Z" fill="#d9cdb8"/>'
        '<path d="M-92 -22L92 -22L56 30L-56 30Z" fill="#f2e6d0"/>'
        '<path d="M-92 -22L0 4L92 -22L56 30L-56 30Z" fill="#fffaf0"/>'
        "</g>"
    )


def _tide_frame(time: float, width: int, height: int) -> str:
    """Draw the moment at time 0..1 as SVG."""
    bob = 6 * math.sin(math.tau * time)
    waves = [
        _wave(time, layer, color) for layer, color in enumerate(("#58a6b8", "#3b8ba5", "#2a6f92", "#1d557c", "#123d63"))
    ]
    body = (
        '<rect width="640" height="480" fill="#fbd9a6"/><rect width="640" height="130" fill="#f7c79a"/>'
        f'<circle cx="470" cy="{150 + bob:.1f}" r="62" fill="#f2785c"/>'
        f'<circle cx="470" cy="{150 + bob:.1f}" r="48" fill="#f79468"/>'
        f"{waves[0]}{waves[1]}{waves[2]}{_boat(time)}{waves[3]}{waves[4]}"
    )
    return _SVG.format(width=width, height=height, box="640 480", body=body)
