"""HEIC with HEVC inside, as phones take it: decoded by pi-heif, since the libvips wheel has no HEVC decoder."""

import contextlib
from collections.abc import Iterator

import pi_heif
import pyvips

from imgserve.errors import UnreadableImage

_BANDS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def open_image(data: bytes) -> pyvips.Image:
    """Decode the primary image, upright: libheif applies the file's rotation and mirroring itself."""
    with _errors_translated():
        image = pi_heif.open_heif(data, convert_hdr_to_8bit=True)
        pixels, stride, info = bytes(image.data), image.stride, image.info
        width, height = image.size
        bands = _BANDS[image.mode]
    rows = pyvips.Image.new_from_memory(pixels, stride, height, 1, "uchar")
    if stride != width * bands:
        rows = rows.crop(0, 0, width * bands, height)
    picture = pyvips.Image.new_from_memory(rows.write_to_memory(), width, height, bands, "uchar")
    color = "b-w" if bands < _BANDS["RGB"] else "srgb"
    return _with_metadata(picture.copy(interpretation=color).copy_memory(), info)


def size(data: bytes) -> tuple[int, int]:
    """Read the size of the primary image from the header, decoding nothing."""
    with _errors_translated():
        width, height = pi_heif.open_heif(data).size
    return width, height


@contextlib.contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # pi-heif reads boxes in plain Python too: a damaged file ends in whatever error Python happens to have.
        said = f"heic: {str(error)[:160] or type(error).__name__}"
        raise UnreadableImage(f"The original is damaged and cannot be decoded ({said}).") from error


def _with_metadata(picture: pyvips.Image, info: dict[str, object]) -> pyvips.Image:
    """Carry color profile, EXIF and XMP over; the orientation in EXIF is already applied, so it is not."""
    picture = picture.copy()
    if info.get("icc_profile"):
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", info["icc_profile"])
    for name in ("exif", "xmp"):
        if info.get(name):
            picture.set_type(pyvips.GValue.blob_type, f"{name}-data", info[name])
    return picture
