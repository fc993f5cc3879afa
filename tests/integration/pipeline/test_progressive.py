"""That a progressive JPEG without its fine scans has the same pixels at an eighth of its size."""

import random
import re

import pytest
import pyvips

from imgserve.pipeline.progressive import for_an_eighth
from tests.pictures import noise

SHRINK = 8
PICTURE = noise(160, 120).resize(3, kernel="cubic")


def saved(picture: pyvips.Image = PICTURE, **options: object) -> bytes:
    return bytes(picture.jpegsave_buffer(**{"Q": 85, "interlace": True, "keep": "none", **options}))


def eighth(data: bytes) -> bytes:
    return bytes(pyvips.Image.jpegload_buffer(data, shrink=SHRINK, fail_on="warning").write_to_memory())


@pytest.mark.parametrize(
    "data",
    [
        saved(subsample_mode="on"),
        saved(subsample_mode="off"),
        saved(optimize_scans=True),
        saved(restart_interval=3),
        saved(PICTURE.crop(0, 0, 479, 353)),
        saved(PICTURE.colourspace("b-w")),
        saved(PICTURE.colourspace("cmyk")),
    ],
    ids=["4:2:0", "4:4:4", "optimized scans", "restarts", "partial blocks", "gray", "CMYK"],
)
def test_the_pixels_are_the_same_and_fine_scans_are_gone(data: bytes) -> None:
    less = for_an_eighth(data)
    assert less.count(b"\xff\xda") < data.count(b"\xff\xda")
    assert len(less) < 0.8 * len(data)
    assert eighth(less) == eighth(data)


def test_a_file_that_would_not_be_the_same_stays() -> None:
    progressive, baseline = saved(), saved(interlace=False)
    frame = progressive.index(b"\xff\xc2")
    sampling = frame + 11
    finest_of_none = progressive[:sampling] + b"\x12\x11\x02\x21" + progressive[sampling + 4 :]
    for data in (baseline, b"", b"\xff\xd8", progressive[:frame], finest_of_none):
        assert for_an_eighth(data) is data


def test_damaged_files_are_returned_in_whole_or_part() -> None:
    data, chance = saved(), random.Random(1)
    for _ in range(2000):
        damaged = bytearray(data[: chance.choice((len(data), chance.randrange(len(data))))])
        for _ in range(chance.randrange(6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        assert len(for_an_eighth(bytes(damaged))) <= len(damaged)


def scans(data: bytes | bytearray) -> list[int]:
    """Return where the scans of one component begin, without those of the mean."""
    starts = [found.start() for found in re.finditer(rb"\xff\xda\0\x08\x01", data)]
    return [start for start in starts if data[start + 7]]


@pytest.mark.parametrize(("at", "value"), [(6, 0x33), (8, 0), (8, 64), (9, 0x30), (9, 0x21), (9, 0xFF)])
def test_a_file_with_a_fine_scan_that_is_refused_stays(at: int, value: int) -> None:
    data = bytearray(saved())
    data[scans(data)[-1] + at] = value
    with pytest.raises(pyvips.Error):
        eighth(bytes(data))
    whole = bytes(data)
    assert for_an_eighth(whole) is whole


def test_a_file_that_lost_a_scan_in_its_middle_stays() -> None:
    data = saved()
    third, fourth = scans(data)[3:5]
    lost = data[:third] + data[fourth:]
    with pytest.raises(pyvips.Error):
        eighth(lost)
    assert for_an_eighth(lost) is lost


def test_a_file_of_countless_segments_stays() -> None:
    data = saved()
    for segments in (b"\xff\xfe\0\2" * 20_000, b"\xff\x01" * 20_000):
        long = data[:2] + segments + data[2:]
        assert for_an_eighth(long) is long
        assert eighth(long) == eighth(data)
