"""That a progressive JPEG without its fine scans has the same pixels at an eighth of its size."""

import random

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
