"""Resolve path, query, presets and Accept to a rendition, within what a URL may request."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cachetools import LRUCache

from imgserve.cache import RenditionKey
from imgserve.errors import BadTransform, ImageNotFound, MarkNotFound, UnsupportedImage, quoted
from imgserve.formats import FORMATS, Format, default_output
from imgserve.geometry.box import Size
from imgserve.geometry.faces import with_faces
from imgserve.geometry.requested import snapped
from imgserve.http.headers import ACCEPT_CLASSES, AcceptClass
from imgserve.images.locate import CachedStat, Found, Locator
from imgserve.images.renditions import Renditions
from imgserve.images.settings import ANYTHING, QuerySettings
from imgserve.model import Original
from imgserve.pipeline.order import between
from imgserve.transform import ParsedQuery, Transform, normalize, parse_query
from imgserve.transform.hints import ClientHints

_FALLBACKS = ("jpg", "png", "gif")
_WRITABLE = tuple(name for name, form in FORMATS.items() if form.writable and not form.missing_extra)
SLOW_FORMAT = "avif"
"""Encoded in 17 times the time of JPEG: benchmarks/ENCODERS.md."""
_MAX_CACHED = 8192
_MAX_CACHED_URL = 1024
"""A longer URL is not cached, which bounds the memory of the cache."""


Sees = Callable[[str], bool]
"""Returns whether a caller may see an image."""


_Index = tuple[str, bytes, AcceptClass, int, ClientHints | None]


@dataclass(frozen=True, slots=True)
class RenditionRequest:
    """One rendition of one original."""

    original: Original
    """With the marks that the transform names."""
    transform: Transform
    """Normalized; of a chain the last step."""
    key: RenditionKey
    query: ParsedQuery
    formats: tuple[str, ...] = ()
    """The formats that the query leaves open and the client accepts, including the chosen one."""
    negotiated: bool = False
    """The format was chosen among several, and can be dropped if it makes a larger file than the original."""
    epoch: int = 0
    """Of the resolver: a later one may resolve the URL to another rendition."""
    earlier: tuple[Transform, ...] = ()
    """The steps of a chain before the transform."""
    sooner: tuple[Transform, RenditionKey] | None = None
    """The same picture in a format that is encoded faster, if the chosen one is slow and others are acceptable."""
    named_marks: tuple[str, ...] = ()
    """Image ids of the marks that the query itself names, which the caller must be allowed to see."""

    def check_marks(self, sees: Sees) -> None:
        """Raise MarkNotFound for a mark that the caller may not see."""
        for mark in self.named_marks:
            if not sees(mark):
                raise MarkNotFound(members={"mark": mark})


class Resolver:
    """Resolves URLs to renditions and caches the results."""

    def __init__(
        self, locator: Locator, renditions: Renditions, settings: QuerySettings, sites: Sequence[QuerySettings] = ()
    ) -> None:
        """Resolve by these settings unless others are named; `sites` are the settings of sites."""
        self._locator = locator
        self._renditions = renditions
        self._settings = settings
        self.free = replace(settings, variety=ANYTHING, sizes=(), watermark={})
        """The same without limits of variety and without a watermark."""
        self._sites = tuple(sites)
        self.epoch = 0
        """Changes with the presets."""
        self._cached: LRUCache[_Index, tuple[Original, RenditionRequest]] = LRUCache(_MAX_CACHED)

    async def resolve(
        self,
        path: str,
        query: bytes,
        accepted: AcceptClass,
        settings: QuerySettings | None = None,
        hints: ClientHints | None = None,
    ) -> tuple[RenditionRequest, tuple[CachedStat, ...]]:
        """Return the rendition that a URL names, and the cached stats that this depends on.

        `settings` are those of a site, and live as long as the server. Raises ImageNotFound, UnsupportedImage,
        OriginalUnsettled, or BadTransform with every mistake in the query.
        """
        found = await self._locator.find(path)
        index = path, query, accepted, id(settings), hints
        original, cached = self._cached.get(index, (None, None))
        if cached is not None and original is found.original:
            marks = [await self._mark(mark.image_id) for mark in cached.original.marks]
            same = all(mark.original is one for mark, one in zip(marks, cached.original.marks, strict=True))
            if same and not (cached.negotiated and cached.key.path in self._renditions.oversized):
                return cached, _stats(found, marks)
        request = await self.request(found, query, accepted, settings=settings, documents=True, hints=hints)
        marks = [await self._mark(mark.image_id) for mark in request.original.marks]
        if len(path) + len(query) <= _MAX_CACHED_URL:
            self._cached[index] = found.original, request
        return request, _stats(found, marks)

    async def _mark(self, name: str) -> Found:
        """Return the original that is a mark.

        Raises:
            MarkNotFound: there is no such image.
            OriginalUnsettled, Unavailable: it cannot be read yet.
        """
        try:
            return await self._locator.find_exactly(name.lstrip("/"))
        except (ImageNotFound, UnsupportedImage) as error:
            raise MarkNotFound(members={"mark": name}) from error

    def forget_presets(self) -> None:
        """Resolve every URL anew, since presets have changed."""
        self._cached.clear()
        self.epoch += 1

    async def moved(self, path: str) -> str | None:
        """Return the path that means the same since the image was moved, or None."""
        return await self._locator.moved(path)

    def forget(self, image_id: str) -> None:
        """Make the next request read the original's file again."""
        self._locator.forget(image_id)

    async def request(
        self,
        found: Found,
        query: bytes | str,
        accepted: AcceptClass,
        *,
        strict: bool | None = None,
        dropping: bool = True,
        settings: QuerySettings | None = None,
        documents: bool = False,
        hints: ClientHints | None = None,
    ) -> RenditionRequest:
        """Return the rendition that a query means for an original and a class of clients, or raise BadTransform.

        It raises MarkNotFound too, if the query names a mark that is not there.

        `strict` says whether an unknown parameter is a mistake; None: as set. `dropping` excludes negotiated formats
        that made larger files than the original. `documents` says that a document about the picture is acceptable.
        """
        settings, original = settings or self._settings, found.original
        parsed = parse_query(
            query,
            strict=settings.strict if strict is None else strict,
            presets=settings.presets,
            path_preset=found.preset,
            default=settings.presets.get("default"),
            max_side=settings.max_side,
            documents=documents,
            hints=None if hints is None else settings.variety.hints(hints),
            forced=settings.watermark,
        )
        original, parsed = await self._marked(original, parsed)
        variety = settings.variety
        if parsed.earlier and variety.presets_only:  # presets could be combined in too many ways
            raise BadTransform(["then: only one preset is allowed here"])
        before, earlier, notes = self._earlier(original, parsed.earlier, settings)
        with _numbered(len(earlier) + 1, chain=bool(earlier)):
            parsed, accepted = _limited(_focused(parsed, before), before, settings), variety.accepted(accepted)
        parsed = replace(parsed, notes=(*parsed.notes, *notes)) if notes else parsed
        if name := parsed.transform.format or found.format:
            variety.check_format(name, original.format.name)
        unchanged = found.format is None and not earlier and (parsed.preset == "default" or not parsed.given)
        if settings.pass_svg and unchanged and original.format.name == "svg" and not original.marks:
            transforms = [Transform(format="svg")]
        else:
            outputs = self._outputs(found, before, parsed, accepted, settings.avif_pixels)
            transforms = _normalized(parsed.transform, before, outputs, settings)
        if variety.output_pixels:
            variety.check_pixels(max(self._renditions.output_pixels(before, one) for one in transforms))
        choices = {self._renditions.key(original, transform, earlier): transform for transform in transforms}
        oversized = self._renditions.oversized if dropping else {}
        # The best format that does not lose, or else the one that loses least.
        key = min(choices, key=lambda choice: oversized.get(choice.path, 0))
        transform = choices.pop(key)
        formats: tuple[str, ...] = (transform.format or original.format.name,)
        if parsed.transform.negotiates:
            fallback = parsed.transform.format or found.format or choose_format((), original.format, 0, 0).name
            formats = tuple(dict.fromkeys((*formats, *accepted, fallback)))
        sooner = _sooner(choices) if transform.format == SLOW_FORMAT else None
        named = [step for step in (*parsed.earlier, parsed) if "mark" in step.named]
        marks = tuple(step.transform.mark for step in named if step is not parsed or not settings.watermark)
        return RenditionRequest(
            original, transform, key, parsed, formats, bool(choices), self.epoch, earlier, sooner, marks
        )

    async def _marked(self, original: Original, parsed: ParsedQuery) -> tuple[Original, ParsedQuery]:
        """Return an original with the marks of all steps of a query, and the query with their ids."""
        steps = (*parsed.earlier, parsed)
        original, transforms = await self.marked(original, [step.transform for step in steps])
        if not original.marks:
            return original, parsed
        *earlier, last = (replace(step, transform=made) for step, made in zip(steps, transforms, strict=True))
        return original, replace(last, earlier=tuple(earlier))

    def _earlier(
        self, original: Original, parsed: Sequence[ParsedQuery], settings: QuerySettings
    ) -> tuple[Original, tuple[Transform, ...], tuple[str, ...]]:
        """Return what the last step of a chain sees of an original, the steps before it, and notes on these."""
        steps, notes = list[Transform](), list[str]()
        for number, step in enumerate(parsed, 1):
            with _numbered(number):
                limited = _limited(_focused(replace(step, notes=()), original), original, settings)
                focal = original.focal_point is not None
                transform = between(limited.transform)
                transform = normalize(transform, original.format, FORMATS["webp"], focal_point=focal)
                if settings.variety.output_pixels:
                    settings.variety.check_pixels(self._renditions.output_pixels(original, transform))
                original = self._renditions.after(original, transform)
            steps.append(transform)
            notes += [f"step {number}: {note}" for note in limited.notes]
        return original, tuple(steps), tuple(notes)

    async def marked(self, original: Original, transforms: Sequence[Transform]) -> tuple[Original, list[Transform]]:
        """Return an original with the marks that transforms name, and the transforms with the ids of these.

        Raises as `request` does for a mark that is not there.
        """
        marks, named = dict[str, Original](), list[Transform]()
        for transform in transforms:
            if transform.mark and transform.mark_alpha:
                mark = (await self._mark(transform.mark)).original
                marks[mark.image_id] = mark
                named.append(replace(transform, mark=mark.image_id))
            else:
                named.append(transform)
        return original.marked(*marks.values()), named

    async def requests(self, found: Found, query: bytes | str) -> list[RenditionRequest]:
        """Return the renditions that a query means for all classes of clients, each once."""
        requests = [await self.request(found, query, accepted) for accepted in ACCEPT_CLASSES]
        return list({request.key: request for request in requests}.values())

    async def preset_keys(self, original: Original, preset: str) -> list[RenditionKey]:
        """Return the keys of a preset's renditions, for all classes of clients and all formats in the path.

        Renditions with further parameters are not among them. Sites may have different presets of one name.

        Raises BadTransform if there is no such preset.
        """
        name, keys = preset.lower(), set[RenditionKey]()
        # Without limits, as for those who are exempt from them.
        settings = {id(one): one for one in (self._settings, *self._sites) if name in one.presets}.values()
        for one, watermark in itertools.product(settings, (True, False)):
            if watermark or one.watermark:
                free = replace(one, variety=ANYTHING, watermark=one.watermark if watermark else {})
                # Without its mark, a preset has no renditions.
                with contextlib.suppress(MarkNotFound):
                    keys |= await self._keys(original, name, free)
        if not settings:
            raise BadTransform([f"preset: there is no preset {quoted(preset)}"])
        return list(keys)

    async def _keys(self, original: Original, preset: str, settings: QuerySettings) -> set[RenditionKey]:
        keys = set[RenditionKey]()
        for accepted in ACCEPT_CLASSES:
            found = Found(original, preset)
            keys.add((await self.request(found, b"", accepted, dropping=False, settings=settings)).key)
        for extension in _WRITABLE:
            keys.add((await self.request(Found(original, preset, extension), b"", (), settings=settings)).key)
        return keys

    def parse(self, query: str) -> ParsedQuery:
        """Return a parsed query without the default preset; raise BadTransform for a mistake or an unknown name."""
        return parse_query(query, strict=True, presets=self._settings.presets, max_side=self._settings.max_side)

    def _outputs(
        self, found: Found, before: Original, parsed: ParsedQuery, accepted: AcceptClass, avif_pixels: int
    ) -> list[Format]:
        """Return the output format: negotiated ones, best first; then the named one, the path's or the original's.

        `before` is what the last step of a chain sees.
        """
        original, transform = found.original, parsed.transform
        name = transform.format or found.format
        if not transform.negotiates:
            return [FORMATS[name] if name else default_output(original.format)]
        pixels = self._renditions.output_pixels(before, transform) if "avif" in accepted else 0
        last = FORMATS[name] if name else choose_format((), original.format, 0, 0)
        possible = (choose_format((name,), original.format, pixels, avif_pixels) for name in accepted)
        return list(dict.fromkeys((*(form for form in possible if form.name in accepted), last)))


def _stats(found: Found, marks: Iterable[Found]) -> tuple[CachedStat, ...]:
    return (*found.stats, *(stat for mark in marks for stat in mark.stats))


@contextlib.contextmanager
def _numbered(step: int, *, chain: bool = True) -> Iterator[None]:
    """Add the number of a step of a chain to its mistakes."""
    try:
        yield
    except BadTransform as error:
        mistakes = [f"step {step}: {mistake}" if chain else mistake for mistake in error.mistakes]
        raise BadTransform(mistakes) from error


def _limited(parsed: ParsedQuery, original: Original, settings: QuerySettings) -> ParsedQuery:
    """Return one step within what URLs may request; raise BadTransform if it is outside."""
    parsed = settings.variety.check(parsed)
    if not (settings.sizes and parsed.sized):
        return parsed
    stored = Size(original.width, original.height)
    snap, notes = snapped(stored, parsed.transform, settings.sizes, orientation=original.orientation)
    if notes and settings.variety.reject and not parsed.hinted:
        raise BadTransform([f"size: expected one of {', '.join(map(str, settings.sizes))}"])
    return replace(parsed, transform=snap, notes=(*parsed.notes, *notes))


def _normalized(
    requested: Transform, original: Original, outputs: Sequence[Format], settings: QuerySettings
) -> list[Transform]:
    """Return a transform for each format that may be sent, the preferred one first."""
    if "best" in requested.auto:
        requested, outputs = _with_candidates(requested, original.format, outputs)
    focal, qualities = original.focal_point is not None, settings.qualities
    return [normalize(requested, original.format, output, qualities=qualities, focal_point=focal) for output in outputs]


def _sooner(others: Mapping[RenditionKey, Transform]) -> tuple[Transform, RenditionKey] | None:
    """Return which of the other formats to send until the slow one is encoded: JPEG, or else the next."""
    made = [(transform, key) for key, transform in others.items()]
    return next((one for one in made if one[0].format == "jpg"), made[0] if made else None)


def _with_candidates(
    transform: Transform, original: Format, outputs: Sequence[Format]
) -> tuple[Transform, list[Format]]:
    """Return a transform with the formats of which the smallest picture is chosen, and the one of its pixels.

    Pixels that may be transparent are not encoded in a format without alpha, if there is another one.
    """
    *others, last = outputs
    if others and original.alpha and not last.alpha:
        *others, last = others
    return replace(transform, auto=transform.auto.union(form.name for form in others)), [last]


def _focused(parsed: ParsedQuery, original: Original) -> ParsedQuery:
    """Return a query in which the faces of an original are a focal point."""
    stored = Size(original.width, original.height)
    return replace(parsed, transform=with_faces(parsed.transform, original.faces, stored, original.orientation))


def choose_format(accepted: AcceptClass, original: Format, pixels: int, avif_pixels: int) -> Format:
    """Return the format of a rendition of `pixels` output pixels (0: unknown) for a class of clients."""
    for name in accepted:
        # Encoding time of AVIF explodes with size, and neither AVIF nor JPEG XL is written with an animation.
        moves = original.animation and not FORMATS[name].animation
        if not moves and (name != "avif" or 0 < pixels <= avif_pixels):
            return FORMATS[name]
    return original if original.name in _FALLBACKS else FORMATS[original.fallback]
