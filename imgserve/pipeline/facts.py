"""The facts of an original for the catalog: size, format, colors, hashes, metadata."""

import hashlib
import math
from dataclasses import replace

import pyvips

from imgserve.model import Face, Facts, Limits
from imgserve.pipeline import color, faces, load
from imgserve.pipeline.blurhash import blurhash
from imgserve.pipeline.color import color_space
from imgserve.pipeline.load import Recognized, recognize
from imgserve.pipeline.metadata import metadata_of, read_embedded
from imgserve.pipeline.mezzanine import Decoded
from imgserve.pipeline.perceptual import as_picture, palette, perceptual_hash, thumbhash
from imgserve.pipeline.probe import Header, read_header, upright_size
from imgserve.pipeline.progressive import for_an_eighth
from imgserve.transform.value import Transform

SIDE = 128
"""Longest side of the small picture: two to four times the input of hash and previews."""
_JPEG_SHRINKS = (8, 4, 2)
_OPAQUE = {"uchar": 255.0, "ushort": 65535.0}
_TOLERANCE = 1e-5
"""Share of the opaque value: more than the error of float sums, less than one clear pixel among 100,000."""


def open_small(opened: Recognized, header: Header, wanted: int = SIDE) -> pyvips.Image:
    """Return an original at the greatest reduction of its loader that leaves twice a side; nothing is decoded yet."""
    side, least = max(header.width, header.height), min(header.width, header.height)
    options: dict[str, object] = {"access": "sequential"}
    if opened.format == "jpg":
        shrink = next((by for by in _JPEG_SHRINKS if side >= 2 * wanted * by and least >= by), 1)
        options["shrink"] = shrink
        if shrink == _JPEG_SHRINKS[0] and opened.fail_on == "error":  # else all that there is must be decoded
            opened = replace(opened, data=for_an_eighth(opened.data))
    elif opened.format == "webp" and header.frames == 1 and side > 2 * wanted:
        options["scale"] = max(2 * wanted / side, 1 / least)
    elif opened.format == "svg":
        options["scale"] = max(wanted / side, 1 / least)
    return opened.open(**options)


def decode_small(image: pyvips.Image, opened: Recognized, header: Header, limits: Limits) -> tuple[pyvips.Image, bool]:
    """Return a small picture of an original, which is decoded once and completely, and whether it has transparency.

    The picture is 8-bit sRGB or gray, with alpha if the original has it; no side is over `SIDE`, and none is enlarged.
    A damaged original raises UnreadableImage.
    """
    with load.translated(opened.format):
        small, opaque = _reduced(image)
        small = color.to_output(small, Transform())
        if header.orientation > 1:
            small = small.autorot()
        pixels = header.frames * header.width * header.height
        if opened.animated and 1 < header.frames <= limits.frames and pixels <= limits.animation_pixels:
            # All frames of an animation, for their errors and their alpha; only one is in memory at a time.
            roll = opened.open(n=header.frames, access="sequential")
            alpha = roll[roll.bands - 1] if roll.hasalpha() else None
            least = roll.avg() if alpha is None else alpha.min()
            opaque = alpha is None or least >= _OPAQUE.get(roll.format, 255.0)
        return small.copy_memory(), not opaque


def _reduced(image: pyvips.Image) -> tuple[pyvips.Image, bool]:
    """Return the averages of blocks of pixels, weighted by alpha, and whether all are opaque.

    With alpha, the averages are floats, in which one clear pixel in millions is visible.
    """
    # Whole blocks take half the time of fractions.
    factor = math.ceil(max(image.width, image.height) / SIDE)
    across, down = min(factor, image.width), min(factor, image.height)
    if not image.hasalpha():
        return image.shrink(across, down).copy_memory(), True
    opaque = _OPAQUE.get(image.format, 255.0)
    reduced = image.premultiply(max_alpha=opaque).shrink(across, down).copy_memory()
    least = reduced[reduced.bands - 1].min()
    plain = reduced.unpremultiply(max_alpha=opaque).cast(image.format).copy(interpretation=image.interpretation)
    return plain, least > opaque * (1 - _TOLERANCE)


def _faces(opened: Recognized, header: Header) -> tuple[Face, ...]:
    """Return the faces of an original, which is decoded again for them, in more detail."""
    if opened.format == "svg" or min(header.width, header.height) < faces.LEAST or not faces.are_searched():
        return ()
    with load.translated(opened.format):
        return faces.find_faces(open_small(opened, header, faces.SIDE // 2), header.orientation)


def facts_of(
    data: bytes, version: str, limits: Limits, *, damaged: bool = False, decoded: Decoded | None = None
) -> Facts:
    """Return the facts of an original, or raise UnsupportedImage, UnreadableImage or LimitExceeded.

    With `decoded` it is decoded for its mezzanine, from which its hashes and colors are read.
    """
    opened = recognize(data, limits, damaged=damaged)
    header = read_header(opened, limits)
    image = open_small(opened, header)
    texts = read_embedded(image, opened)
    if decoded is None or image.hasalpha():  # a mezzanine may have lost the only clear pixel
        small, alpha = decode_small(image, opened, header, limits)
    else:
        small, alpha = _reduced(decoded.mezzanine().levels[0].open())[0], False
    width, height = upright_size(header)
    picture = as_picture(small)
    colors = palette(picture)
    return Facts(
        version=version,
        sha256=hashlib.sha256(data).hexdigest(),
        format=opened.format,
        width=width,
        height=height,
        size=len(data),
        frames=header.frames,
        alpha=alpha,
        color_space=color_space(image),
        perceptual_hash=perceptual_hash(picture),
        dominant_color=colors[0] if colors else "",
        palette=colors,
        blurhash=blurhash(picture),
        thumbhash=thumbhash(picture),
        faces=_faces(opened, header),
        title=texts.title,
        description=texts.description,
        keywords=texts.keywords,
        metadata=metadata_of(texts),
    )
