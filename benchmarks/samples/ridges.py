"""Lines of the land, one height per column: crests, hills, tree tops. Arithmetic only, no pixels.

Heights are fractions of the picture's width measured down from its top; a smaller number is higher.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


def value_noise(rng: random.Random) -> Callable[[float], float]:
    """Make a smooth random function of one number, 0..1."""
    knots = [rng.random() for _ in range(512)]

    def at(place: float) -> float:
        index = int(place)
        t = place - index
        t = t * t * (3 - 2 * t)
        return knots[index % 512] * (1 - t) + knots[(index + 1) % 512] * t

    return at


@dataclass(frozen=True, slots=True)
class Crest:
    """The line of a mountain range."""

    base: float
    """Height of its valleys."""
    rise: float
    """How far its peaks stand above them."""
    bumps: float
    """Peaks across the picture."""
    seed: int
    octaves: int = 9
    gain: float = 0.48
    sharp: float = 1.0
    """1: pointed peaks; 0: round hills."""

    def line(self, width: int) -> list[float]:
        """Compute the height at every column."""
        rng = random.Random(self.seed)
        noises = [value_noise(rng) for _ in range(self.octaves)]
        offsets = [rng.random() * 100 for _ in noises]
        weights = [self.gain**index for index in range(self.octaves)]
        layers = list(zip(noises, offsets, weights, [2**index for index in range(self.octaves)], strict=True))
        return [self._height(column / width, layers) for column in range(width)]

    def _height(self, x: float, layers: list[tuple[Callable[[float], float], float, float, int]]) -> float:
        total = 0.0
        for noise, offset, weight, frequency in layers:
            value = noise(x * self.bumps * frequency + offset)
            peak = 1 - abs(2 * value - 1)
            total += weight * (peak * self.sharp + value * (1 - self.sharp))
        return self.base - self.rise * total / sum(weight for _, _, weight, _ in layers)


def raised(line: Sequence[float], center: float, reach: float, rise: float) -> list[float]:
    """Lift a line around a place, as a massif stands out of its range."""
    width = len(line)
    return [
        height - rise * max(0.0, 1 - abs(column / width - center) / reach) ** 1.25 for column, height in enumerate(line)
    ]


@dataclass(frozen=True, slots=True)
class Forest:
    """A stand of conifers."""

    first: float
    last: float
    """Where it grows, in widths from the left."""
    trees: int
    tall: float
    """Height of its tallest tree."""
    seed: int

    def over(self, ground: Sequence[float]) -> list[float]:
        """Return the line of tree tops above the ground."""
        rng = random.Random(self.seed)
        line = list(ground)
        for _ in range(self.trees):
            place = self.first + (self.last - self.first) * rng.random()
            self._plant(line, ground, place, self.tall * (0.35 + 0.65 * rng.random() ** 1.6), rng)
        return line

    def _plant(self, line: list[float], ground: Sequence[float], place: float, tall: float, rng: random.Random) -> None:
        """Raise the line to one tree: tiers of branches around a pointed top."""
        width = len(line)
        reach = tall * (0.13 + 0.05 * rng.random())
        tiers = 9 + rng.randrange(6)
        foot = ground[min(width - 1, max(0, int(place * width)))]
        for column in range(max(0, int((place - reach) * width)), min(width, int((place + reach) * width) + 1)):
            side = abs(column / width - place) / reach
            down = min(1.0, side**0.8)
            tier = down * tiers
            droop = (tier - int(tier)) / tiers * 0.9
            line[column] = min(line[column], foot + 0.004 - tall * (1 - down + droop * (1 - side) * 0.6))
