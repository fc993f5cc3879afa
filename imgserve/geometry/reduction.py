"""When a mezzanine is made, how large it is, and which renditions it can serve."""

import math
from collections.abc import Sequence

from imgserve.formats import FORMATS, Format
from imgserve.geometry.box import Box, Size, Turn, rescaled, whole
from imgserve.geometry.plan import Plan, plan
from imgserve.transform.value import Transform

MAX_MEZZANINE_PIXELS = 6_000_000
"""Half the sides of a photograph of 24 megapixels: 3000 wide, or 2000 for a portrait."""
MEZZANINE_LEVELS = 4
"""Each has half the sides of the one before: 1, 1/2, 1/4, 1/8."""
_ENOUGH_PIXELS = 2_500_000
"""A loader's own reduction with so many pixels is used as it is: no second resample and no further decoding."""
_MIN_ORIGINAL_PIXELS = 1_500_000
"""An original with fewer is decoded about as fast as its mezzanine is read."""
_MAX_OFFSET = 0.25
"""Pixels of the rendition; as much as a loader's own reduction moves edges when it leaves a factor of two."""
_SPARE = 1.2
"""A reduced level is used if it has this many times the needed pixels a side: at least 46 dB to the direct picture."""
_JPEG_SHRINKS = (8, 4, 2)


def is_worthwhile(original: Format, stored: Size) -> bool:
    """Return whether a mezzanine of an original of this size is worth its space."""
    return original.name != "svg" and stored.width * stored.height >= _MIN_ORIGINAL_PIXELS


def jpeg_shrink(stored: Size) -> int:
    """Return the reduction at which a JPEG is decoded for its mezzanine."""
    return next((shrink for shrink in _JPEG_SHRINKS if stored.pixels >= _ENOUGH_PIXELS * shrink * shrink), 1)


def mezzanine_plan(stored: Size, loaded: Size, orientation: int) -> Plan:
    """Return the plan of a mezzanine: the whole picture, upright, no larger than it was loaded."""
    upright = Turn.upright(orientation, None)
    factor = min(1.0, math.sqrt(MAX_MEZZANINE_PIXELS / loaded.pixels))
    across, down = upright.size(whole(loaded.width * factor), whole(loaded.height * factor))
    return Plan(Box(0, 0, stored.width, stored.height), Size(int(across), int(down)), upright)


def _mezzanine_size(original: Format, stored: Size) -> Size:
    shrink = jpeg_shrink(stored) if original.name == "jpg" else 1
    return mezzanine_plan(stored, Size(-(-stored.width // shrink), -(-stored.height // shrink)), 1).scaled


def mezzanine_levels(original: Format, width: int, height: int) -> list[Size]:
    """Return the expected sizes of the levels of a mezzanine, from the upright size of its original."""
    levels = [_mezzanine_size(original, Size(width, height))]
    while len(levels) < MEZZANINE_LEVELS:
        levels.append(Size(-(-levels[-1].width // 2), -(-levels[-1].height // 2)))
    return levels


def mezzanine_bytes(original: Format, width: int, height: int) -> int:
    """Return the expected size of a mezzanine's file: three bytes a pixel of all levels."""
    pixels = _mezzanine_size(original, Size(width, height)).pixels
    return sum(3 * pixels // 4**level for level in range(MEZZANINE_LEVELS))


def accepts_mezzanine(transform: Transform) -> bool:
    """Return whether a transform needs nothing that only the original has: pages, profiles, metadata, turns, edges."""
    return (
        transform.page == 1
        and transform.frame in {None, (1, 1)}
        and transform.profile == "srgb"
        and transform.metadata != "keep"
        and transform.orient is None
        and transform.trim is None
    )


def serves(plan: Plan, upright: Size, level: Size, *, spare: float = 1.0) -> bool:
    """Return whether a reduced picture has `spare` times the needed detail, and the region in the right place."""
    region, box, needed = plan.region, rescaled(plan.region, upright, level), plan.scaled_stored()
    across, down = level.width / upright.width, level.height / upright.height
    detail = min(region.width * across / (needed.width - 0.5), region.height * down / (needed.height - 0.5))
    # How far rounding to whole pixels of the level moves the edges, in pixels of the rendition.
    aside = max(abs(box.left - region.left * across), abs(box.right - region.right * across))
    downward = max(abs(box.top - region.top * down), abs(box.bottom - region.bottom * down))
    offset = max(aside * needed.width / box.width, downward * needed.height / box.height)
    return detail >= spare and offset <= _MAX_OFFSET


def chosen_level(plan: Plan, upright: Size, levels: Sequence[Size]) -> int | None:
    """Return the index of the smallest level with enough detail for a plan, or None if only the original has it."""
    if not serves(plan, upright, levels[0]):
        return None
    enough = (at for at in reversed(range(1, len(levels))) if serves(plan, upright, levels[at], spare=_SPARE))
    return next(enough, 0)


def expects_mezzanine(original: Format, stored: Size, transform: Transform, *, max_side: int, max_pixels: int) -> bool:
    """Return whether, judging by sizes alone, a mezzanine is made of an original and serves a transform.

    Orientation and frames are in the header, which is not read here. The rendering process decides.
    """
    if not (is_worthwhile(original, stored) and accepts_mezzanine(transform)):
        return False
    if transform.animate and original.animation and FORMATS[transform.format or original.name].animation:
        return False
    capped = plan(stored, transform).capped(max_side, max_pixels)
    return serves(capped, stored, _mezzanine_size(original, stored))
