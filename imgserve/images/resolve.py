"""Resolve query, presets and Accept to a transform and a rendition key."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from imgserve.cache import RenditionKey
from imgserve.formats import FORMATS, Format, default_output
from imgserve.http.negotiation import ACCEPT_CLASSES, AcceptClass
from imgserve.images.locate import Found
from imgserve.images.renditions import Renditions
from imgserve.model import Original
from imgserve.transform import Asked, Preset, Transform, parse_query, settle, snapped

_FALLBACKS = ("jpg", "png", "gif")


@dataclass(frozen=True, slots=True)
class Language:
    """What the settings decide about the meaning of a query."""

    presets: Mapping[str, Preset] = field(default_factory=dict)
    strict: bool = False
    max_side: int = 8192
    avif_pixels: int = 0
    qualities: Mapping[str, int] = field(default_factory=dict)
    sizes: tuple[int, ...] = ()
    """The only widths and heights made, ascending; others become the next larger. Empty: any."""
    pass_svg: bool = False
    """An SVG of which nothing is asked is passed on, sanitized, instead of drawn."""


@dataclass(frozen=True, slots=True)
class RenditionRequest:
    """One picture of one original."""

    original: Original
    transform: Transform
    """Settled."""
    key: RenditionKey
    asked: Asked
    formats: tuple[str, ...] = ()
    """Those that the query leaves open and the client takes, the chosen one among them."""


class Resolver:
    """Tells which picture a query means."""

    def __init__(self, renditions: Renditions, language: Language) -> None:
        """Take who names renditions, and what the settings decide."""
        self._renditions = renditions
        self._language = language

    def of(
        self, found: Found, query: bytes | str, accepted: AcceptClass, *, strict: bool | None = None
    ) -> RenditionRequest:
        """Tell the picture that a query means for an original and a class of clients.

        Args:
            found: the original, and what the path asks for beside it.
            query: parameters.
            accepted: by the Accept header.
            strict: whether an unknown parameter is a mistake, where that is not for the settings to say.

        Raises:
            BadTransform: with every mistake in the query.
        """
        language, original = self._language, found.original
        asked = parse_query(
            query,
            strict=language.strict if strict is None else strict,
            presets=language.presets,
            path_preset=found.preset,
            default=language.presets.get("default"),
            max_side=language.max_side,
        )
        if language.sizes:
            asked = snapped(asked, language.sizes)
        if language.pass_svg and _asks_nothing(found, asked) and original.format.name == "svg":
            transform = Transform(format="svg")
        else:
            transform = settle(
                asked.transform,
                original.format,
                self._output(found, asked, accepted),
                qualities=language.qualities,
                focal_point=original.focal_point is not None,
            )
        key = self._renditions.key(original, transform)
        return RenditionRequest(original, transform, key, asked, _formats(original, asked, accepted, transform))

    def for_everyone(self, found: Found, query: bytes | str, *, strict: bool | None = None) -> list[RenditionRequest]:
        """List the pictures that a query means for all classes of clients, each once."""
        meant = (self.of(found, query, accepted, strict=strict) for accepted in ACCEPT_CLASSES)
        return list({one.key: one for one in meant}.values())

    def read(self, query: str) -> Asked:
        """Read a query of which the default preset is no part.

        Raises:
            BadTransform: with every mistake in it; an unknown parameter is one.
        """
        return parse_query(query, strict=True, presets=self._language.presets, max_side=self._language.max_side)

    def preset_query(self, name: str) -> str:
        """Write the query that asks for a preset.

        Raises:
            BadTransform: there is none of this name.
        """
        self.read(query := f"preset={name}")
        return query

    def _output(self, found: Found, asked: Asked, accepted: AcceptClass) -> Format:
        """Decide the output format: named, else negotiated, else the path's extension, else the original's."""
        original, transform = found.original, asked.transform
        if "format" in transform.auto:
            pixels = self._renditions.output_pixels(original, transform) if "avif" in accepted else 0
            chosen = choose_format(accepted, original.format, pixels, self._language.avif_pixels)
            if chosen.name in accepted or not transform.format:
                return chosen
        name = transform.format or found.format
        return FORMATS[name] if name else default_output(original.format)


def choose_format(accepted: AcceptClass, original: Format, pixels: int, avif_pixels: int) -> Format:
    """Choose the format of a rendition of `pixels` output pixels (0: unknown) for a class of clients."""
    for name in accepted:
        # Encoding time of AVIF explodes with size, and libvips writes no animated AVIF.
        if name == "webp" or (0 < pixels <= avif_pixels and not original.animation):
            return FORMATS[name]
    return original if original.name in _FALLBACKS else FORMATS[original.fallback]


def _asks_nothing(found: Found, asked: Asked) -> bool:
    return found.format is None and (asked.preset == "default" or not asked.given)


def _formats(original: Original, asked: Asked, accepted: AcceptClass, chosen: Transform) -> tuple[str, ...]:
    """List what may be answered: what is named stays, what is negotiated may be any that the client takes."""
    named = chosen.format or original.format.name
    if "format" not in asked.transform.auto:
        return (named,)
    fallback = asked.transform.format or choose_format((), original.format, 0, 0).name
    return tuple(dict.fromkeys((named, *accepted, fallback)))


_WRITABLE = tuple(name for name, form in FORMATS.items() if form.writable)


class PresetKeys:
    """Computes keys; parameters beside the preset make other pictures, which are not among them."""

    def __init__(self, meaning: Resolver) -> None:
        """Take who tells which picture a query means."""
        self._meaning = meaning

    def __call__(self, original: Original, preset: str) -> list[RenditionKey]:
        """Name what the preset makes: for every class of clients, and in every format that the path may ask for.

        Raises:
            BadTransform: there is no such preset.
        """
        name = preset.lower()
        meant = self._meaning.for_everyone(Found(original, name), b"")
        meant += [self._meaning.of(Found(original, name, extension), b"", ()) for extension in _WRITABLE]
        return list({one.key for one in meant})
