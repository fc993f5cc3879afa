"""What an original says of itself in XMP, IPTC and EXIF, as far as it may be told: never where, never which camera."""

from collections.abc import Callable, Mapping

import pyvips

from imgserve.pipeline.embedded_exif import read_exif
from imgserve.pipeline.embedded_iptc import read_iptc
from imgserve.pipeline.embedded_text import Told
from imgserve.pipeline.embedded_xmp import read_xmp
from imgserve.pipeline.load import Recognized

_BLOCKS: tuple[tuple[str, Callable[[bytes], Told]], ...] = (
    ("xmp-data", read_xmp),
    ("iptc-data", read_iptc),
    ("exif-data", read_exif),
)
"""In order of precedence: who edits a picture today writes XMP, and may leave the older blocks as they were."""

_METADATA = ("copyright", "creator", "credit", "taken")


def read_embedded(image: pyvips.Image, opened: Recognized) -> Told:
    """Read what the blocks of an opened original tell; each fills what those before it leave out."""
    told = Told()
    for name, read in _BLOCKS:
        if image.get_typeof(name):
            told = told.over(read(image.get(name)))
    # A TIFF is itself what EXIF is made of.
    return told.over(read_exif(opened.data)) if opened.format == "tiff" else told


def metadata_of(told: Told) -> Mapping[str, str]:
    """List what has no field of its own in a record."""
    return {name: text for name in _METADATA if (text := getattr(told, name))}
