"""Settings that decide what a query means, and what URLs may request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imgserve.errors import BadTransform
from imgserve.http.headers import AcceptClass
from imgserve.transform import ParsedQuery, Preset
from imgserve.transform.hints import ClientHints


@dataclass(frozen=True, slots=True)
class Variety:
    """Allow lists for the parameters of URLs; an empty one allows everything."""

    presets_only: bool = False
    """Only presets, without further parameters."""
    presets: frozenset[str] = frozenset()
    """The only presets; without one of them, a URL is rejected."""
    parameters: frozenset[str] = frozenset()
    """Attributes of the transform."""
    formats: frozenset[str] = frozenset()
    """Output formats; an original's own format is always allowed."""
    qualities: tuple[int, ...] = ()
    """Ascending."""
    output_pixels: int = 0
    """Maximum width x height of a rendition, summed over its frames; 0 for the limit of the server."""
    reject: bool = False
    """Reject sizes and qualities that are not listed, instead of choosing the next one."""

    def check(self, parsed: ParsedQuery) -> ParsedQuery:
        """Return a query with a listed quality; raise BadTransform with everything in the query that is not allowed."""
        own = parsed.named
        mistakes = []
        if self.presets and parsed.preset not in self.presets:
            mistakes.append(f"preset: expected one of {', '.join(sorted(self.presets))}")
        if self.presets_only and own:
            mistakes.append(f"{_words(own)}: only presets are allowed here")
        elif self.parameters and (other := own - self.parameters):
            mistakes.append(f"{_words(other)}: not allowed here, where URLs may use {_words(self.parameters)}")
        quality = parsed.transform.quality
        listed = not self.qualities or "quality" not in own or not quality or quality in self.qualities
        if not listed and self.reject:
            mistakes.append(f"quality: expected one of {', '.join(map(str, self.qualities))}")
        if mistakes:
            raise BadTransform(mistakes)
        if listed or quality is None:
            return parsed
        nearest = next((one for one in self.qualities if one >= quality), self.qualities[-1])
        note = f"quality={nearest}"
        return replace(parsed, transform=replace(parsed.transform, quality=nearest), notes=(*parsed.notes, note))

    def hints(self, hints: ClientHints) -> ClientHints | None:
        """Return the client hints that may decide something, or None."""
        if self.presets_only:
            return None
        hints = hints.within(self.parameters)
        return replace(hints, used=hints.used - {"save-data"}) if self.qualities else hints

    def accepted(self, names: AcceptClass) -> AcceptClass:
        """Return the formats among which one may be negotiated."""
        return tuple(name for name in names if name in self.formats) if self.formats else names

    def check_format(self, name: str, own: str) -> None:
        """Check the output format of an original with its own format; raise BadTransform if it is not allowed."""
        if self.formats and name != own and name not in self.formats:
            raise BadTransform([f"format: expected one of {', '.join(sorted(self.formats))}"])

    def check_pixels(self, pixels: int) -> None:
        """Check the size of a rendition; raise BadTransform if it is too large."""
        if self.output_pixels and pixels > self.output_pixels:
            raise BadTransform([f"size: expected at most {self.output_pixels} pixels, but this picture has {pixels}"])


def _words(attributes: Iterable[str]) -> str:
    return ", ".join(sorted(name.replace("_", "-") for name in attributes))


ANYTHING = Variety()


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """Settings that decide what a query means."""

    presets: dict[str, Preset] = field(default_factory=dict)
    """By name in lower case and by alias. Those of the catalog may change at any time."""
    strict: bool = False
    max_side: int = 8192
    avif_pixels: int = 0
    qualities: Mapping[str, int] = field(default_factory=dict)
    sizes: tuple[int, ...] = ()
    """The only widths made, or heights of pictures requested by height, ascending. Empty: any."""
    pass_svg: bool = False
    """An SVG requested without parameters is returned sanitized instead of drawn."""
    variety: Variety = ANYTHING
    """What URLs may request."""
    watermark: Mapping[str, Any] = field(default_factory=dict)
    """Values by attribute of a mark on every picture, which replace those of URLs and presets; none: no such mark."""
