"""Trust in files that no ledger knows."""

import pytest
import pyvips

from imgserve.cache.verify import named_format, size_in_pixels, whole_format

EXTENSIONS = ["jpg", "png", "webp", "avif", "gif", "tiff"]


def picture(extension: str) -> bytes:
    image = pyvips.Image.gaussnoise(48, 32).cast("uchar").bandjoin([128, 64]).copy(interpretation="srgb")
    return bytes(image.write_to_buffer(f".{extension}"))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_picture_is_whole(extension: str) -> None:
    assert whole_format(f"a.{extension}", picture(extension))


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("missing", [1, 2, 10, 0.1, 0.5, 0.9])
def test_a_picture_cut_short_is_not_whole(extension: str, missing: float) -> None:
    data = picture(extension)
    cut = missing if isinstance(missing, int) else int(len(data) * missing)
    assert not whole_format(f"a.{extension}", data[:-cut])


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_picture_whose_end_was_never_written_is_not_whole(extension: str) -> None:
    data = picture(extension)
    half = len(data) // 2
    torn = data[:half] + bytes(len(data) - half)
    # Only the length of a WebP or AVIF is told in its header; nulls of the right length are for the checksum to find.
    assert (whole_format(f"a.{extension}", torn) is not None) is (extension in {"webp", "avif"})


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_empty_file_is_not_whole(extension: str) -> None:
    assert not whole_format(f"a.{extension}", b"")


@pytest.mark.parametrize(("path", "held"), [("a.png", "jpg"), ("a.jpg", "png"), ("a.txt", "jpg"), ("a", "jpg")])
def test_a_picture_under_another_name_is_refused(path: str, held: str) -> None:
    assert not named_format(path, picture(held))
    assert not whole_format(path, picture(held))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_width_and_height_are_read_from_the_header(extension: str) -> None:
    assert size_in_pixels(picture(extension)) == (48, 32)


def test_no_size_is_reported_what_is_no_picture() -> None:
    assert size_in_pixels(b"nothing") == (0, 0)
