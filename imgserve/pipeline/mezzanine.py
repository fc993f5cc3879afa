"""A mezzanine: a reduced, upright, sRGB copy of an original, made in the decode of its first rendition. No file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyvips

from imgserve.formats import FORMATS
from imgserve.model import Rendition
from imgserve.pipeline import metadata, vips
from imgserve.pipeline.box import Size
from imgserve.pipeline.geometry import plan
from imgserve.pipeline.load import Recognized
from imgserve.pipeline.probe import Header
from imgserve.pipeline.reduction import asks_for_mezzanine, jpeg_shrink, pays, reduction, serves
from imgserve.pipeline.render import Draft, Order, draft, finished
from imgserve.pipeline.stages import Job, resized, staged, weighted
from imgserve.transform.value import Transform

_SPARE = 1.2
"""The half level serves where it has this many times the needed pixels a side: 46 dB and more to the direct picture."""


@dataclass(frozen=True, slots=True)
class Mezzanine:
    """The pixels, and what renditions have to know of the original."""

    original: str
    """Format of the original."""
    width: int
    """Of the upright original: every size is computed from it, never from the rounded one of a level."""
    height: int
    levels: Sequence[pyvips.Image]
    """The full one, and where there is one, another of half its sides."""
    rights: Mapping[str, str] = field(default_factory=dict)
    """Metadata that renditions carry."""

    def halved(self) -> pyvips.Image:
        """Make the half level."""
        full = self.levels[0]
        size = Size(-(-full.width // 2), -(-full.height // 2))
        return weighted(full, lambda flat: resized(flat, size)).copy_memory()


def reducible(opened: Recognized, header: Header) -> bool:
    """Tell whether a mezzanine is made of an original."""
    return header.frames == 1 and pays(FORMATS[opened.format], header.width * header.height)


def render_reduced(mezzanine: Mezzanine, order: Order) -> Rendition | None:
    """Make a rendition from a mezzanine; None where only the original will do."""
    drafted = draft_reduced(mezzanine, order)
    return None if drafted is None else finished(drafted, order.encoders)


def draft_reduced(mezzanine: Mezzanine, order: Order) -> Draft | None:
    """Choose a level of a mezzanine and plan what becomes of it; None where only the original will do."""
    transform, output = order.settled(FORMATS[mezzanine.original])
    if not asks_for_mezzanine(transform):
        return None
    upright = Size(mezzanine.width, mezzanine.height)
    made = plan(upright, transform, order.limits, focal_point=order.focal_point)
    sizes = [Size(level.width, level.height) for level in mezzanine.levels]
    if not serves(made, upright, sizes[0]):
        return None
    level = mezzanine.levels[-1 if serves(made, upright, sizes[-1], spare=_SPARE) else 0]
    job = Job(made, transform, output, upright)
    return Draft([_with_rights(level, mezzanine.rights)], job, mezzanine.original)


class Decoded:
    """An original that is decoded once, in memory, for a first rendition and then for its mezzanine."""

    def __init__(self, opened: Recognized, header: Header) -> None:
        """Take an original of which a mezzanine is made; nothing is decoded yet."""
        self._opened = opened
        self._header = header
        self._stored = Size(header.width, header.height)
        self._shrink = jpeg_shrink(self._stored) if opened.format == "jpg" else 0
        self._image: pyvips.Image | None = None
        self._mezzanine: Mezzanine | None = None

    def render(self, order: Order) -> Rendition:
        """Make the first rendition.

        Raises:
            ImgserveError: whatever `render` raises.
        """
        return finished(self.draft(order), order.encoders)

    def draft(self, order: Order) -> Draft:
        """Choose what the first rendition is made of, and plan what becomes of it.

        A JPEG is decoded at its own reduction, which leaves enough for both. What has no such reduction might fill
        the memory if it were decoded whole, so it is reduced as it comes and the rendition is made of that.

        Raises:
            ImgserveError: whatever `render` raises.
        """
        if self._shrink:
            decoded = self._jpeg() if self._serves(order) else None
            return draft(self._opened, self._header, order, decoded=decoded)
        drafted = draft_reduced(self.mezzanine(), order) if self._serves(order) else None
        return drafted or draft(self._opened, self._header, order)

    def mezzanine(self) -> Mezzanine:
        """Make the mezzanine, from pixels that are decoded already if there are any.

        Raises:
            UnreadableImage: the original is damaged.
        """
        if self._mezzanine is None:
            image = self._jpeg() if self._shrink else self._opened.open(access="sequential")
            with vips.translated(self._opened.format):
                self._mezzanine = self._reduced(image)
            self._image = None
        return self._mezzanine

    def _jpeg(self) -> pyvips.Image:
        if self._image is None:
            image = self._opened.open(access="sequential", shrink=self._shrink)
            with vips.translated(self._opened.format):
                self._image = image.copy_memory()
        return self._image

    def _serves(self, order: Order) -> bool:
        transform, output = order.settled(FORMATS[self._opened.format])
        made = plan(
            self._stored, transform, order.limits,
            orientation=self._header.orientation, focal_point=order.focal_point,
        )  # fmt: skip
        loaded = Size(*(-(-side // max(1, self._shrink)) for side in (self._stored.width, self._stored.height)))
        if not self._shrink:
            loaded = reduction(self._stored, loaded, 1).scaled
        return output.name != "svg" and serves(made, self._stored, loaded)

    def _reduced(self, image: pyvips.Image) -> Mezzanine:
        made = reduction(self._stored, Size(image.width, image.height), self._header.orientation)
        full = staged(image, Job(made, Transform(format="png"), FORMATS["png"], self._stored)).copy_memory()
        width, height = made.turn.size(self._stored.width, self._stored.height)
        return Mezzanine(self._opened.format, int(width), int(height), [full], metadata.rights(full))


def _with_rights(level: pyvips.Image, rights: Mapping[str, str]) -> pyvips.Image:
    if not rights:
        return level
    level = level.copy()
    for name, text in rights.items():
        level.set_type(pyvips.GValue.gstr_type, name, text)
    return level
