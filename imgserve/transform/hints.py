"""Client hints: what a browser says about its screen and its connection, as parameters below those of the URL."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

HINTS: Mapping[str, tuple[bytes, ...]] = {
    "dpr": (b"sec-ch-dpr", b"dpr"),
    "width": (b"sec-ch-width", b"width"),
    "viewport-width": (b"sec-ch-viewport-width", b"viewport-width"),
    "save-data": (b"save-data",),
}
"""The request headers of each hint, the newer name first."""
_DECIDES = {"dpr": "dpr", "width": "width", "viewport-width": "width", "save-data": "quality"}
_LARGEST = 20_000
_MAX_DPR, _DPR_STEPS = 4, 2


@dataclass(frozen=True, slots=True)
class ClientHints:
    """The hints of one request; a number that is not known is 0."""

    used: frozenset[str]
    """The hints that decide something on this server."""
    dpr: float = 0.0
    width: int = 0
    """Device pixels in which the page shows the picture."""
    viewport_width: int = 0
    """CSS pixels."""
    save_data: bool = False

    def within(self, parameters: Collection[str]) -> "ClientHints":
        """Return the hints that decide one of these parameters, of which none allows all."""
        used = self.used if not parameters else {name for name in self.used if _DECIDES[name] in parameters}
        return ClientHints(frozenset(used), self.dpr, self.width, self.viewport_width, self.save_data)

    def beside(self, values: Mapping[str, Any], locked: Collection[str]) -> tuple[dict[str, Any], frozenset[str]]:
        """Return the values that hints add to those of a URL, and the hints on which the picture depends."""

        def free(*names: str) -> bool:
            return all(name not in values and name not in locked for name in names)

        added, depends = dict[str, Any](), set[str]()
        if free("width", "height", "dpr"):
            depends |= self.used & {"width", "viewport-width"}
            depends |= self.used & {"dpr"} if "viewport-width" in depends else set()
            if width := self._width(depends):
                added["width"] = width
        elif free("dpr") and any(isinstance(values.get(side), int) for side in ("width", "height")):
            depends |= self.used & {"dpr"}
            if self.dpr and depends:
                added["dpr"] = self._dpr(depends)
        if "save-data" in self.used and (free("quality") or free("animate")):
            depends.add("save-data")
            auto = values.get("auto", frozenset())
            if self.save_data and free("quality", "lossless") and "auto" not in locked and "best" not in auto:
                added["auto"] = auto | {"compress"}
            if self.save_data and free("animate", "frame"):
                added["animate"] = False
        return added, frozenset(depends)

    def _width(self, depends: Collection[str]) -> int:
        """Return a width of few different ones that is enough, or 0 if none is known."""
        if self.width and "width" in depends:
            needed = self.width
        elif self.viewport_width and "viewport-width" in depends:
            needed = math.ceil(self.viewport_width * self._dpr(depends))
        else:
            return 0
        step = 50 if needed <= 400 else 100 if needed <= 1600 else 200  # noqa: PLR2004  about an eighth
        return math.ceil(needed / step) * step

    def _dpr(self, depends: Collection[str]) -> float:
        known = self.dpr if "dpr" in depends and self.dpr else 1.0
        return min(_MAX_DPR, math.ceil(known * _DPR_STEPS) / _DPR_STEPS)


def read_hints(fields: Mapping[bytes, bytes], used: frozenset[str]) -> ClientHints:
    """Return the hints among the headers of a request; what is no number of a reasonable size is not known."""
    texts = {name: next((fields[one] for one in HINTS[name] if one in fields), b"") for name in used}
    return ClientHints(
        used,
        _number(texts.get("dpr", b""), 10),
        math.ceil(_number(texts.get("width", b""), _LARGEST)),
        math.ceil(_number(texts.get("viewport-width", b""), _LARGEST)),
        texts.get("save-data", b"").strip().lower() == b"on",
    )


def _number(text: bytes, most: int) -> float:
    try:
        value = float(text[:20])
    except ValueError:
        return 0.0
    return value if 0 < value <= most else 0.0
