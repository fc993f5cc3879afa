"""Small pictures made for tests: known colors at known places, in every format that is read."""

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import pillow_heif
import pyvips
from PIL import Image

ASTRONAUT = Path(__file__).parent / "data" / "astronaut.jpg"
"""A face: part of a portrait of Eileen Collins by NASA, in the public domain."""
RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 180, 30), (30, 30, 220), (240, 240, 240)


def quarters(width: int = 400, height: int = 300) -> pyvips.Image:
    """Draw red over blue on the left, green over white on the right."""
    image = pyvips.Image.black(width, height, bands=3).copy(interpretation="srgb")
    half_width, half_height = width // 2, height // 2
    for color, left, top in ((RED, 0, 0), (GREEN, 1, 0), (BLUE, 0, 1), (WHITE, 1, 1)):
        x, y = left * half_width, top * half_height
        image = image.draw_rect(list(color), x, y, width - half_width, height - half_height, fill=True)
    return image


def noise(width: int = 800, height: int = 600) -> pyvips.Image:
    """Make smooth noise that compresses like a photograph."""
    bands = [pyvips.Image.perlin(width, height, cell_size=64, seed=seed, uchar=True) for seed in (1, 2, 3)]
    fine = pyvips.Image.gaussnoise(width, height, sigma=6, mean=0, seed=4)
    joined = (bands[0].bandjoin(bands[1:]) + fine).cast("uchar")
    return joined.copy(interpretation="srgb")


def encoded(image: pyvips.Image, name: str, **options: object) -> bytes:
    """Encode by format name."""
    if name == "heic":
        return heic(image)
    if name == "avif":
        return bytes(image.heifsave_buffer(compression="av1", effort=0, **options))
    suffix = {"jpg": ".jpg", "png": ".png", "webp": ".webp", "gif": ".gif", "tiff": ".tif"}[name]
    return bytes(image.write_to_buffer(suffix, **options))


@functools.cache
def encoded_noise(name: str) -> bytes:
    """Encode the noise by format name, once for all tests: this takes seconds."""
    return encoded(noise(), name, **({"effort": 1} if name == "gif" else {}))


def heic(image: pyvips.Image) -> bytes:
    """Encode with HEVC, as a phone does, though with its fastest preset: the usual one takes nine times as long."""
    picture = Image.frombytes("RGB", (image.width, image.height), image.write_to_memory())
    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture).save(buffer, quality=90, enc_params={"preset": "ultrafast"})
    return buffer.getvalue()


def animation(colors: Sequence[tuple[int, int, int]], name: str = "gif", *, size: int = 64) -> bytes:
    """Make an animation of plain frames with delays of 100, 200, 300 ... ms and three loops."""
    frames = [
        (pyvips.Image.black(size, size, bands=3) + list(color)).cast("uchar").copy(interpretation="srgb")
        for color in colors
    ]
    roll = pyvips.Image.arrayjoin(frames, across=1).copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", size)
    roll.set_type(pyvips.GValue.array_int_type, "delay", [100 * (at + 1) for at in range(len(colors))])
    roll.set_type(pyvips.GValue.gint_type, "loop", 3)
    return encoded(roll, name, **({"lossless": True} if name == "webp" else {}))


def opened(data: bytes, **options: object) -> pyvips.Image:
    """Open what was rendered."""
    return pyvips.Image.new_from_buffer(data, "", **options)


def color_at(image: pyvips.Image, x: float, y: float) -> tuple[float, ...]:
    """Read a pixel at a place given as fractions."""
    return tuple(image.getpoint(int(x * (image.width - 1)), int(y * (image.height - 1))))


def near(seen: Sequence[float], wanted: Sequence[float], within: float = 16) -> bool:
    """Compare colors with what lossy codecs and color conversion may change."""
    return all(abs(one - other) <= within for one, other in zip(seen, wanted, strict=False))
