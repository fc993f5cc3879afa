"""Pictures, keys and a disk tier that is closed after the test."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgserve.cache import sqlite_file
from imgserve.cache.disk import DiskTier
from imgserve.cache.key import RenditionKey
from imgserve.model import Rendition


def _png(size: int, seed: int = 0) -> Rendition:
    """Make a PNG of an exact number of bytes, whole in its structure."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    noise = random.Random(seed).randbytes(size - 57)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 2, 0, 0, 0))
    return Rendition(
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", noise) + chunk(b"IEND", b""), "image/png", 4, 3, ("clamped",)
    )


@pytest.fixture
def png() -> Callable[..., Rendition]:
    return _png


@pytest.fixture
def key() -> Callable[..., RenditionKey]:
    def make(image_id: object, canonical: object = "w") -> RenditionKey:
        return RenditionKey(str(image_id), "1a-2b", str(canonical), "0c", "png")

    return make


@pytest.fixture
def patient_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads wait for the lock of a ledger for as long as a busy machine takes, instead of a second."""
    monkeypatch.setattr(sqlite_file, "_BUSY_SECONDS", 60.0)


@pytest.fixture
def make_tier() -> Iterator[Callable[..., DiskTier]]:
    tiers = []

    def make(
        root: Path, budget_bytes: int = 1_000_000, budget_entries: int = 1000, most_per_image: int = 1000
    ) -> DiskTier:
        tiers.append(DiskTier(root, budget_bytes, budget_entries, most_per_image=most_per_image))
        return tiers[-1]

    yield make
    for tier in tiers:
        tier.close()
