"""Explain how a URL is read and how its picture is made, without rendering it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from imgserve.formats import FORMATS, default_output
from imgserve.geometry.box import Size
from imgserve.geometry.reduction import chosen_level, mezzanine_levels
from imgserve.http.headers import AcceptClass
from imgserve.images.facts import FactsReader
from imgserve.images.renditions import Renditions
from imgserve.images.resolve import RenditionRequest
from imgserve.images.settings import QuerySettings
from imgserve.metrics import Metrics
from imgserve.model import FileFacts
from imgserve.transform import PARAMETERS, Transform, canonical, normalize

_DEFAULTS = {item.name: item.default for item in fields(Transform)}


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains requests for pictures."""

    renditions: Renditions
    facts: FactsReader
    metrics: Metrics

    async def explain(
        self, request: RenditionRequest, accepted: AcceptClass, settings: QuerySettings
    ) -> Mapping[str, Any]:
        """Return what a request means and how its picture is made."""
        original, query, key = request.original, request.query, request.key
        file = await self.facts.known(original)
        plan = file and self.facts.plan(original, request.transform, file, request.earlier)
        level = await self._level(request, file)
        return {
            "original": {
                "id": original.image_id,
                "version": original.version,
                "format": original.format.name,
                "bytes": original.size,
                "width": original.width,
                "height": original.height,
                "orientation": original.orientation,
            },
            "preset": query.preset,
            "parameters": _parameters(request, settings),
            "without_effect": [
                row.name
                for row in PARAMETERS
                if row.attribute in query.given - {"auto", "format"}
                and getattr(query.transform, row.attribute) != _DEFAULTS[row.attribute]
                and getattr(request.transform, row.attribute) == _DEFAULTS[row.attribute]
            ],
            "adjusted": [*query.notes, *(plan.notes if plan else ())],
            "ignored": list(query.ignored),
            "format": self._format(request, accepted, settings),
            "canonical": key.canonical,
            "steps": [canonical(step) for step in request.earlier],
            "key": {"etag": key.tag, "revision": key.revision, "extension": key.extension},
            "plan": plan and {**asdict(plan), "size": asdict(plan.size)},
            "source": {"kind": "original"} if level is None else {"kind": "mezzanine", **asdict(level)},
            "cached": await self.renditions.tiers_of(key),
            "cost": {
                "decode_megapixels": original.megapixels if level is None else level.pixels / 1e6,
                "encode_megapixels": plan and plan.size.pixels / 1e6,
                "mean_milliseconds": self._mean_milliseconds(request.transform.format or original.format.name),
            },
        }

    async def _level(self, request: RenditionRequest, file: FileFacts | None) -> Size | None:
        """Return the size of the level of the mezzanine from which the picture is made; None for the original."""
        first = (*request.earlier, request.transform)[0]
        if file is None or not await self.renditions.has_mezzanine(request.original, first):
            return None
        upright, levels = (
            Size(file.width, file.height),
            mezzanine_levels(request.original.format, file.width, file.height),
        )
        plan = self.facts.plan(replace(request.original, orientation=1), first, file)
        level = None if plan is None else chosen_level(plan, upright, levels)
        return None if level is None else levels[level]

    def _format(self, request: RenditionRequest, accepted: AcceptClass, settings: QuerySettings) -> Mapping[str, Any]:
        """Return the format, what decided it, and why preferred ones were not chosen."""
        query, chosen = request.query, request.transform.format or request.original.format.name
        described: dict[str, Any] = {"name": chosen, "accepted": list(accepted)}
        if "best" in query.transform.auto:
            return {
                **described,
                "decided_by": "size",
                "candidates": sorted({chosen, *request.transform.auto} & FORMATS.keys()),
            }
        if query.transform.negotiates:
            dropped = accepted[: accepted.index(chosen)] if chosen in accepted else accepted
            reasons = {name: self._why_dropped(request, name, settings) for name in dropped}
            return {**described, "decided_by": "accept", "dropped": reasons}
        if query.transform.format is not None:
            return {**described, "decided_by": "query" if "format" in query.named else "preset"}
        own = default_output(request.original.format).name
        return {**described, "decided_by": "original" if chosen == own else "path"}

    def _why_dropped(self, request: RenditionRequest, name: str, settings: QuerySettings) -> str:
        original, output = request.original, FORMATS[name]
        if original.format.animation and not output.animation:
            return f"{name} has no animation"
        transform = normalize(request.query.transform, original.format, output, qualities=settings.qualities)
        if size := self.renditions.oversized.get(self.renditions.key(original, transform, request.earlier).path):
            return f"it has {size} bytes, the original {original.size}"
        pixels = self.renditions.output_pixels(original, transform)
        if name == "avif" and not 0 < pixels <= settings.avif_pixels:
            return f"it has {pixels or 'an unknown number of'} pixels, the limit avif_pixels is {settings.avif_pixels}"
        return "not allowed by the rules"

    def _mean_milliseconds(self, name: str) -> float | None:
        """Return the mean time of rendering a picture in a format, in this process so far."""
        samples = [sample for family in self.metrics.render_seconds.collect() for sample in family.samples]
        found = {one.name.rpartition("_")[2]: one.value for one in samples if one.labels == {"format": name}}
        return round(1000 * found["sum"] / found["count"], 1) if found.get("count") else None


def _parameters(request: RenditionRequest, settings: QuerySettings) -> Mapping[str, Mapping[str, str]]:
    """Return the value of each parameter that the picture depends on, and where it comes from."""
    query, used, found = request.query, request.transform, dict[str, Mapping[str, str]]()
    for row in PARAMETERS:
        value = getattr(query.transform, row.attribute, None)
        if row.attribute in query.given and value is not None:
            origin = "query" if row.attribute in query.named else "preset"
            found[row.name] = {"value": row.kind.write(value), "origin": origin}
    output = FORMATS[used.format or request.original.format.name]
    quality = settings.qualities.get(output.name, output.quality)
    if quality is not None and not used.lossless and not used.auto & {"best"}:
        found.setdefault("quality", {"value": str(quality), "origin": "server"})
    if (point := request.original.focal_point) is not None:
        found.setdefault("focus-x", {"value": str(point.x), "origin": "stored"})
        found.setdefault("focus-y", {"value": str(point.y), "origin": "stored"})
    return found
