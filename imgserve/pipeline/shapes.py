"""Masks of ellipses and of round corners, with smooth edges."""

import pyvips

from imgserve.geometry.box import Size
from imgserve.geometry.surround import Surround


def mask(size: Size, planned: Surround, inset: int = 0) -> pyvips.Image:
    """Return how much of each pixel is inside the planned shape, 0..255.

    Args:
        size: of the picture with its border.
        planned: has a mask.
        inset: pixels between the outer edge of the border and the shape.
    """
    if planned.mask == "ellipse":
        across, down = size.width / 2, size.height / 2
        shape = f'<ellipse cx="{across}" cy="{down}" rx="{across - inset}" ry="{down - inset}"/>'
    else:
        a, b, c, d = (max(0.0, radius - inset) for radius in planned.radii(size))
        right, bottom = size.width - inset, size.height - inset
        shape = (
            f'<path d="M{inset + a},{inset} H{right - b} A{b},{b} 0 0 1 {right},{inset + b} V{bottom - c} '
            f"A{c},{c} 0 0 1 {right - c},{bottom} H{inset + d} A{d},{d} 0 0 1 {inset},{bottom - d} V{inset + a} "
            f'A{a},{a} 0 0 1 {inset + a},{inset} Z"/>'
        )
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" width="{size.width}" height="{size.height}">{shape}</svg>'
    return pyvips.Image.svgload_buffer(drawing.encode())[3]
