"""Camera RAW files are TIFF on the outside; libvips opens them silently as a garbled picture, so they are refused."""

import struct

from imgserve.errors import UnsupportedImage

_NEW_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706
_MAX_ENTRIES = 512


def refuse_camera_raw(data: bytes) -> None:
    """Raise where a TIFF is a camera RAW: DNG, CR2, or a reduced first image with the real one in a sub-directory.

    Raises:
        UnsupportedImage: the bytes are a camera RAW.
    """
    if data[8:10] == b"CR":
        raise UnsupportedImage("Camera RAW originals (CR2) are not read.")
    tags = _first_directory(data)
    if _DNG_VERSION in tags or (tags.get(_NEW_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags):
        raise UnsupportedImage("Camera RAW originals are not read.")


def _first_directory(data: bytes) -> dict[int, int]:
    """Map the tags of the first directory to their values or offsets (TIFF 6.0, section 2); BigTIFF has none here."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        magic, offset = struct.unpack_from(order + "HI", data, 2)
        if magic != 42:  # noqa: PLR2004  classic TIFF
            return {}
        (count,) = struct.unpack_from(order + "H", data, offset)
        entries = (
            struct.unpack_from(order + "HHII", data, offset + 2 + 12 * at) for at in range(min(count, _MAX_ENTRIES))
        )
        return {tag: value for tag, _kind, _length, value in entries}
    except struct.error:
        return {}
