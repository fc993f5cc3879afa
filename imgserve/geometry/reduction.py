"""When a mezzanine is made, how large it is, and which renditions it can serve."""

import math

from imgserve.formats import FORMATS, Format
from imgserve.geometry.box import Box, Size, Turn, carried, whole
from imgserve.geometry.plan import Plan, plan
from imgserve.model import Limits
from imgserve.transform.value import Transform

MOST_PIXELS = 6_000_000
"""Of a mezzanine: half the sides of a photograph of 24 megapixels, so 3000 wide, or 2000 where it stands upright."""
_ENOUGH_PIXELS = 2_500_000
"""A loader's own reduction that leaves so many is taken as it is: no second resample, and nothing more to decode."""
_LEAST_PIXELS = 1_500_000
"""An original with fewer is decoded about as fast as its mezzanine is read."""
_MOST_ASIDE = 0.25
"""Of a pixel of the rendition: no more than where a loader's own reduction leaves a factor of two."""
_JPEG_SHRINKS = (8, 4, 2)
_UNFIT = {"svg"}


def pays(original: Format, pixels: int) -> bool:
    """Tell whether a mezzanine of an original with so many pixels is worth its space."""
    return original.name not in _UNFIT and pixels >= _LEAST_PIXELS


def jpeg_shrink(stored: Size) -> int:
    """Choose the reduction that a JPEG is decoded at for its mezzanine."""
    return next((shrink for shrink in _JPEG_SHRINKS if stored.pixels >= _ENOUGH_PIXELS * shrink * shrink), 1)


def reduction(stored: Size, loaded: Size, orientation: int) -> Plan:
    """Plan a mezzanine: the whole picture, upright, no larger than it was loaded."""
    upright = Turn.upright(orientation, None)
    factor = min(1.0, math.sqrt(MOST_PIXELS / loaded.pixels))
    across, down = upright.size(whole(loaded.width * factor), whole(loaded.height * factor))
    return Plan(Box(0, 0, stored.width, stored.height), Size(int(across), int(down)), upright)


def mezzanine_bytes(original: Format, width: int, height: int) -> int:
    """Foresee what the file of a mezzanine takes: three bytes a pixel, and a level of half its sides."""
    stored = loaded = Size(width, height)
    if original.name == "jpg":
        shrink = jpeg_shrink(stored)
        loaded = Size(-(-width // shrink), -(-height // shrink))
    return reduction(stored, loaded, 1).scaled.pixels * 15 // 4


def asks_for_mezzanine(transform: Transform) -> bool:
    """Tell whether a transform wants nothing that only the original has: other pages, profiles, metadata, its turn."""
    return (
        transform.page == 1
        and transform.frame in {None, 1}
        and transform.profile == "srgb"
        and transform.metadata != "keep"
        and transform.orient is None
    )


def has_detail(made: Plan, upright: Size, level: Size) -> float:
    """Tell how many times more pixels a side than needed a reduced picture has for a plan; below 1 it lacks some."""
    needed, region = made.scaled_stored(), made.region
    across = region.width * level.width / upright.width / (needed.width - 0.5)
    down = region.height * level.height / upright.height / (needed.height - 0.5)
    return min(across, down)


def serves(made: Plan, upright: Size, level: Size, *, spare: float = 1.0) -> bool:
    """Tell whether a reduced picture has so many times the detail for a plan, and its part in the right place."""
    return has_detail(made, upright, level) >= spare and _aside(made, upright, level) <= _MOST_ASIDE


def _aside(made: Plan, upright: Size, level: Size) -> float:
    """Tell how far rounding to whole pixels of a level moves the edges of a region, in pixels of the rendition."""
    region, box, needed = made.region, carried(made.region, upright, level), made.scaled_stored()
    across, down = level.width / upright.width, level.height / upright.height
    return max(
        abs(box.left - region.left * across) * needed.width / box.width,
        abs(box.right - region.right * across) * needed.width / box.width,
        abs(box.top - region.top * down) * needed.height / box.height,
        abs(box.bottom - region.bottom * down) * needed.height / box.height,
    )


def expected(original: Format, stored: Size, transform: Transform, limits: Limits) -> bool:
    """Foresee, from sizes alone, whether a mezzanine is made of an original and serves a transform.

    What the header alone tells (orientation, frames) is not known here; whoever renders decides.
    """
    if not (pays(original, stored.pixels) and asks_for_mezzanine(transform)):
        return False
    if transform.animate and original.animation and FORMATS[transform.format or original.name].animation:
        return False
    loaded = stored
    if original.name == "jpg":
        shrink = jpeg_shrink(stored)
        loaded = Size(-(-stored.width // shrink), -(-stored.height // shrink))
    level = reduction(stored, loaded, 1).scaled
    return serves(plan(stored, transform, limits), stored, level)
