"""Which of an original's metadata a rendition carries: by default who made it, never where or with which camera."""

import pyvips

from imgserve.transform.value import Transform

_RIGHTS = {"exif-ifd0-Copyright", "exif-ifd0-Artist"}
# What describes the stored pixels is wrong for a rendition: it is upright, resized and 8 bit.
_STALE = ("orientation", "jpeg-thumbnail-data", "bits-per-sample", "palette", "jpeg-chroma-subsample", "gif-palette")


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


def rights(image: pyvips.Image) -> dict[str, str]:
    """Read who made a picture, as libvips spells it."""
    return {name: image.get(name) for name in sorted(_RIGHTS & set(image.get_fields()))}


def _remove(image: pyvips.Image, names: set[str]) -> None:
    for name in names:
        image.remove(name)
