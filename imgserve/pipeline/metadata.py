"""The metadata of an original: what a rendition carries, and what the catalog stores."""

from collections.abc import Callable, Mapping

import pyvips

from imgserve.pipeline.embedded_text import Told, read_iptc, read_xmp
from imgserve.pipeline.exif import read_exif
from imgserve.pipeline.load import Recognized
from imgserve.transform.value import Transform

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


_RIGHTS = {"exif-ifd0-Copyright", "exif-ifd0-Artist"}
# What describes the stored pixels is wrong for a rendition: it is upright, resized and 8 bit.
_STALE = ("orientation", "jpeg-thumbnail-data", "bits-per-sample", "palette", "jpeg-chroma-subsample", "gif-palette")
_DESCRIPTIONS = ("exif-", "xmp-", "iptc-")
_FRAMES = ("page-height", "n-pages", "delay", "loop", "gif-delay", "gif-loop")


def select(image: pyvips.Image, transform: Transform) -> tuple[pyvips.Image, str]:
    """Remove what must not leave the server; tell libvips' `keep` for the rest."""
    image = image.copy()
    for name in _STALE:
        if image.get_typeof(name):
            image.remove(name)
    profile = ["icc"] if image.get_typeof("icc-profile-data") else []
    if transform.metadata == "keep":
        _remove(image, {name for name in image.get_fields() if name == "exif-ifd0-Orientation"})
        return image, ":".join(["exif", "xmp", "iptc", "other", *profile])
    rights = _RIGHTS & set(image.get_fields()) if transform.metadata == "copyright" else set()
    _remove(image, {name for name in image.get_fields() if name.startswith("exif-")} - rights)
    return image, ":".join((["exif"] if rights else []) + profile) or "none"


def carried(image: pyvips.Image, transform: Transform) -> pyvips.Image:
    """Remove what does not go from one step to the next: what was true of stored pixels, and what is not wanted."""
    image = image.copy()
    unwanted = transform.metadata == "strip"
    for name in image.get_fields():
        if name in _STALE or name == "exif-ifd0-Orientation" or (unwanted and name.startswith(_DESCRIPTIONS)):
            image.remove(name)
    return image


def still(image: pyvips.Image) -> pyvips.Image:
    """Remove what says that a picture is one of many frames."""
    image = image.copy()
    for name in _FRAMES:
        if image.get_typeof(name):
            image.remove(name)
    return image


def rights(image: pyvips.Image) -> dict[str, str]:
    """Read who made a picture, as libvips spells it."""
    return {name: image.get(name) for name in sorted(_RIGHTS & set(image.get_fields()))}


def _remove(image: pyvips.Image, names: set[str]) -> None:
    for name in names:
        image.remove(name)
