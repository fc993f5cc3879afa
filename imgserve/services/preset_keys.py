"""The keys of everything that a preset alone makes of an original, so that it can be purged."""

from collections.abc import Mapping, Sequence

from imgserve.cache import RenditionKey
from imgserve.formats import FORMATS
from imgserve.model import Original
from imgserve.services.renditions import Renditions
from imgserve.transform import Preset, parse_query, settle, snapped

_WRITABLE = tuple(form for form in FORMATS.values() if form.writable)


class PresetKeys:
    """Computes keys; parameters beside the preset make other pictures, which are not among them."""

    def __init__(
        self,
        renditions: Renditions,
        presets: Mapping[str, Preset],
        *,
        max_side: int,
        sizes: Sequence[int],
        qualities: Mapping[str, int],
    ) -> None:
        """Take who names renditions, the presets by name in lower case, and what else decides about a URL."""
        self._renditions = renditions
        self._presets = presets
        self._max_side = max_side
        self._sizes = sizes
        self._qualities = qualities

    def __call__(self, original: Original, preset: str) -> list[RenditionKey]:
        """Name what the preset makes in every format: of a negotiated one, or one that the path's extension asks for.

        Raises:
            BadTransform: there is no such preset.
        """
        asked = parse_query(b"", presets=self._presets, path_preset=preset.lower(), max_side=self._max_side)
        if self._sizes:
            asked = snapped(asked, self._sizes)
        named = asked.transform.format
        outputs = [FORMATS[named]] if named and "format" not in asked.transform.auto else _WRITABLE
        focal = original.focal_point is not None
        settled = {
            settle(asked.transform, original.format, output, qualities=self._qualities, focal_point=focal)
            for output in outputs
        }
        return [self._renditions.key(original, transform) for transform in settled]
