"""The file of a mezzanine: plain pixels, written once, then mapped, so that nothing is decoded and pages are shared.

4096 bytes   a line that names the format, a line of JSON, zeros
pixels       of the full level, then of the half level: rows from the top, 8 bits a band, no padding
"""

import contextlib
import json
import logging
import mmap
import os
import time
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import pyvips

from imgserve.pipeline.mezzanine import Mezzanine

_logger = logging.getLogger("imgserve.render")

_NAME = b"imgserve mezzanine 1\n"
_HEAD_BYTES = 4096
_MOST_BANDS = 4


def write_mezzanine(path: Path, mezzanine: Mezzanine) -> int:
    """Write a mezzanine to a new file, with its half level; tell the bytes.

    Raises:
        OSError: the disk is full, or the like; nothing is left behind.
        ValueError: who made the picture is told at too great length.
    """
    file = path.open("xb")
    try:
        with file:
            _write(file, mezzanine)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path.stat().st_size


def _write(file: BinaryIO, mezzanine: Mezzanine) -> None:
    levels, checksum = [mezzanine.levels[0], mezzanine.halved()], 0
    file.seek(_HEAD_BYTES)
    for level in levels:
        pixels = level.write_to_memory()
        checksum = zlib.crc32(pixels, checksum)
        file.write(pixels)
    told = {
        "original": mezzanine.original,
        "size": [mezzanine.width, mezzanine.height],
        "bands": levels[0].bands,
        "interpretation": levels[0].interpretation,
        "levels": [[level.width, level.height] for level in levels],
        "crc32": checksum,
        "rights": dict(mezzanine.rights),
    }
    head = _NAME + json.dumps(told).encode() + b"\n"
    if len(head) > _HEAD_BYTES:
        raise ValueError(f"the rights take {len(head)} bytes")
    file.seek(0)
    file.write(head.ljust(_HEAD_BYTES, b"\0"))


def read_mezzanine(path: Path) -> Mezzanine | None:
    """Map a mezzanine; None where there is none, so that the original has to do. One that is not whole is removed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None  # evicted or purged since
    except OSError as error:
        _logger.warning("a mezzanine cannot be opened, its original is used: %s", error)
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            return _mapped(file.fileno())
        except OSError as error:
            _logger.warning("a mezzanine cannot be mapped, its original is used: %s", error)
        except (ValueError, KeyError, TypeError) as error:
            _logger.warning("a mezzanine is not whole, its original is used: %s: %s", path, error)
            # Whoever looks for it next finds a row without a file and has another made.
            with contextlib.suppress(OSError):
                path.unlink()
    return None


def _mapped(descriptor: int) -> Mezzanine:
    mapped = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
    if _is_doubtful(descriptor):
        _check(mapped)
        # Where the disk is read-only, it is checked each time.
        with contextlib.suppress(OSError):
            os.utime(descriptor)
    return _parsed(mapped)


def _is_doubtful(descriptor: int) -> bool:
    """Tell whether the machine went down since a file was written: then pages that were not on disk yet are lost."""
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return os.fstat(descriptor).st_mtime <= started


def _check(mapped: mmap.mmap) -> None:
    expected = _told(mapped)["crc32"]
    if zlib.crc32(memoryview(mapped)[_HEAD_BYTES:]) != expected:
        raise ValueError("the checksum differs")


def _told(mapped: mmap.mmap) -> dict[str, Any]:
    name, text, _ = mapped[:_HEAD_BYTES].split(b"\n", 2)
    if name + b"\n" != _NAME:
        raise ValueError("it is no mezzanine")
    told: dict[str, Any] = json.loads(text)
    return told


def _parsed(mapped: mmap.mmap) -> Mezzanine:
    told = _told(mapped)
    bands, sizes = told["bands"], told["levels"]
    width, height = told["size"]
    needed = _HEAD_BYTES + sum(across * down for across, down in sizes) * bands
    if not 1 <= bands <= _MOST_BANDS or needed != len(mapped):
        raise ValueError(f"it has {len(mapped)} bytes instead of {needed}")
    levels, start = [], _HEAD_BYTES
    for across, down in sizes:
        end = start + across * down * bands
        pixels = memoryview(mapped)[start:end]
        level = pyvips.Image.new_from_memory(pixels, across, down, bands, "uchar")
        levels.append(level.copy(interpretation=told["interpretation"]))
        start = end
    return Mezzanine(told["original"], width, height, levels, told["rights"])
