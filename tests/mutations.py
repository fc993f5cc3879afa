"""Damage done to small pictures, the same in every run."""

import random
from collections.abc import Callable, Iterator

from tests import bombs
from tests.pictures import RED, animation, encoded, heic, noise

_SVG = bombs.svg('<circle cx="50" cy="50" r="40" fill="red"/><text x="10" y="50">text</text>')


def seeds() -> dict[str, bytes]:
    """Make one small picture of every format that is read."""
    picture = noise(160, 120)
    still = {name: encoded(picture, name) for name in ("jpg", "png", "webp", "tiff", "avif")}
    return still | {"gif": animation([RED, RED, RED]), "heic": heic(picture), "svg": _SVG}


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(1, len(data))]


def _flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 4, 32))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _flipped_head(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(3):
        changed[chance.randrange(min(len(changed), 200))] = chance.randrange(256)
    return bytes(changed)


def _zeroed(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    length = min(chance.choice((8, 64, 512)), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def _filled(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    length = min(chance.choice((2, 4, 8)), len(data) - start)
    return data[:start] + b"\xff" * length + data[start + length :]


def _repeated(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start // 2 : start] * 3 + data[start:]


def _removed(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.choice((1, 2, 16, 256)) :]


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _cut,
    _flipped,
    _flipped_head,
    _zeroed,
    _filled,
    _repeated,
    _removed,
)


def mutations(data: bytes, rounds: int) -> Iterator[bytes]:
    """Damage a picture in every way, so often each."""
    for number in range(rounds):
        for damage in DAMAGES:
            yield damage(data, random.Random(f"{damage.__name__} {number}"))
