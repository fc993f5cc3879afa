"""ThumbHash read back, as a page that shows one does, to see what a hash tells."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """What a ThumbHash shows."""

    wide: int
    """Waves of lightness either side: the shape of the picture."""
    high: int
    alpha: bool
    data: bytes

    def color(self, x: float, y: float) -> tuple[float, ...]:
        """Compute the color at a place given as fractions: red, green, blue from 0 to 255, alpha from 0 to 1."""
        head = int.from_bytes(self.data[:3], "little")
        shape = int.from_bytes(self.data[3:5], "little")
        nibbles = [part for byte in self.data[6 if self.alpha else 5 :] for part in (byte & 15, byte >> 4)]
        light = (head & 63) / 63 + _sum(nibbles, self.wide, self.high, (head >> 18 & 31) / 31, x, y)
        p = (head >> 6 & 63) / 31.5 - 1 + _sum(nibbles, 3, 3, (shape >> 3 & 63) / 63 * 1.25, x, y)
        q = (head >> 12 & 63) / 31.5 - 1 + _sum(nibbles, 3, 3, (shape >> 9 & 63) / 63 * 1.25, x, y)
        alpha = 1.0
        if self.alpha:
            alpha = (self.data[5] & 15) / 15 + _sum(nibbles, 5, 5, (self.data[5] >> 4) / 15, x, y)
        blue = light - 2 / 3 * p
        red = (3 * light - blue + q) / 2
        return (*(min(255.0, max(0.0, 255 * part)) for part in (red, red - q, blue)), alpha)


def shown(data: bytes) -> Shown:
    """Read the head of a hash."""
    alpha, landscape, waves = bool(data[2] & 0x80), bool(data[4] & 0x80), data[3] & 7
    most = 5 if alpha else 7
    return Shown(max(3, most if landscape else waves), max(3, waves if landscape else most), alpha, data)


def _sum(nibbles: list[int], across: int, down: int, scale: float, x: float, y: float) -> float:
    total = 0.0
    for v in range(down):
        for u in range(across):
            if (u or v) and u * down < across * (down - v):
                strength = (nibbles.pop(0) / 7.5 - 1) * scale
                total += strength * math.cos(math.pi * u * x) * math.cos(math.pi * v * y) * 2
    return total
