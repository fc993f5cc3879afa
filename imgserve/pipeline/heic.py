"""HEIC with HEVC inside, as phones take it: decoded by pi-heif, since the libvips wheel has no HEVC decoder."""

import pi_heif
import pyvips

from imgserve.errors import UnreadableImage

_BANDS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def open_image(data: bytes) -> pyvips.Image:
    """Decode the primary image, upright: libheif applies the file's rotation and mirroring itself."""
    try:
        image = pi_heif.open_heif(data, convert_hdr_to_8bit=True)
        pixels = bytes(image.data)
    except (ValueError, EOFError, SyntaxError, RuntimeError, OSError) as error:
        raise UnreadableImage(f"The original is damaged and cannot be decoded (heic: {str(error)[:160]}).") from error
    width, height = image.size
    bands = _BANDS[image.mode]
    rows = pyvips.Image.new_from_memory(pixels, image.stride, height, 1, "uchar")
    if image.stride != width * bands:
        rows = rows.crop(0, 0, width * bands, height)
    picture = pyvips.Image.new_from_memory(rows.write_to_memory(), width, height, bands, "uchar")
    picture = picture.copy(interpretation="b-w" if bands < 3 else "srgb").copy_memory()  # noqa: PLR2004  three color bands
    return _with_metadata(picture, image.info)


def size(data: bytes) -> tuple[int, int]:
    """Read the size of the primary image from the header, decoding nothing."""
    try:
        width, height = pi_heif.open_heif(data).size
    except (ValueError, EOFError, SyntaxError, RuntimeError, OSError) as error:
        raise UnreadableImage(f"The original is damaged and cannot be decoded (heic: {str(error)[:160]}).") from error
    return width, height


def _with_metadata(picture: pyvips.Image, info: dict[str, object]) -> pyvips.Image:
    """Carry the color profile and EXIF over; the orientation in EXIF is already applied, so it is not."""
    picture = picture.copy()
    if info.get("icc_profile"):
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", info["icc_profile"])
    if info.get("exif"):
        picture.set_type(pyvips.GValue.blob_type, "exif-data", info["exif"])
    return picture
