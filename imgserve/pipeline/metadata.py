"""The metadata of an original: what a rendition carries, and what the catalog stores."""

from collections.abc import Callable, Mapping

import pyvips

from imgserve.pipeline.declared import without
from imgserve.pipeline.embedded_text import EmbeddedText, read_iptc, read_xmp
from imgserve.pipeline.exif import read_exif
from imgserve.pipeline.load import Recognized
from imgserve.transform.value import Transform

_BLOCKS: tuple[tuple[str, Callable[[bytes], EmbeddedText]], ...] = (
    ("xmp-data", read_xmp),
    ("iptc-data", read_iptc),
    ("exif-data", read_exif),
)
"""In order of precedence: programs of today write XMP and may leave the older blocks unchanged."""
_METADATA = ("copyright", "creator", "credit", "taken")


def read_embedded(image: pyvips.Image, opened: Recognized) -> EmbeddedText:
    """Return the texts of all blocks; each block fills what those before it leave out."""
    text = EmbeddedText()
    for name, read in _BLOCKS:
        if image.get_typeof(name):
            text = text.over(read(image.get(name)))
    # A TIFF has the structure of EXIF.
    return text.over(read_exif(opened.data)) if opened.format == "tiff" else text


def metadata_of(text: EmbeddedText) -> Mapping[str, str]:
    """Return the texts that have no field of their own in a record."""
    return {name: value for name in _METADATA if (value := getattr(text, name))}


_RIGHTS = {"exif-ifd0-Copyright", "exif-ifd0-Artist"}
# Descriptions of the stored pixels are wrong for a rendition, which is upright, resized and 8-bit.
_STALE = ("orientation", "jpeg-thumbnail-data", "bits-per-sample", "palette", "jpeg-chroma-subsample", "gif-palette")
_DESCRIPTIONS = ("exif-", "xmp-", "iptc-")
_FRAMES = ("page-height", "n-pages", "delay", "loop", "gif-delay", "gif-loop")


def select(image: pyvips.Image, transform: Transform) -> tuple[pyvips.Image, str]:
    """Return an image without private metadata, and the value of libvips' `keep` for the rest."""
    image = without(image, *_STALE)
    profile = ["icc"] if image.get_typeof("icc-profile-data") else []
    fields = set(image.get_fields())
    if transform.metadata == "keep":
        return without(image, "exif-ifd0-Orientation"), ":".join(["exif", "xmp", "iptc", "other", *profile])
    rights = _RIGHTS & fields if transform.metadata == "copyright" else set()
    image = without(image, *(name for name in fields - rights if name.startswith("exif-")))
    return image, ":".join((["exif"] if rights else []) + profile) or "none"


def for_next_step(image: pyvips.Image, transform: Transform) -> pyvips.Image:
    """Return an image without the metadata that is wrong or unwanted after this step."""
    unwanted = _DESCRIPTIONS if transform.metadata == "strip" else ("exif-ifd0-Orientation",)
    return without(image, *_STALE, *(name for name in image.get_fields() if name.startswith(unwanted)))


def still(image: pyvips.Image) -> pyvips.Image:
    """Return an image without the metadata of an animation."""
    return without(image, *_FRAMES)


def rights(image: pyvips.Image) -> dict[str, str]:
    """Return copyright and artist by their names in libvips."""
    return {name: image.get(name) for name in sorted(_RIGHTS & set(image.get_fields()))}
