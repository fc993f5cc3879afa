"""The scans of a progressive JPEG that are needed for its picture at an eighth of the size (ITU-T T.81, B and G)."""

import re
from collections.abc import Iterator

_MARKER = re.compile(rb"\xff[^\0\xd0-\xd7\xff]")
"""Not a stuffed byte, a restart marker or a fill byte."""
END, _SCAN, _TABLES, _PROGRESSIVE = 0xD9, 0xDA, 0xC4, 0xC2
_OTHER_FRAMES = {0xC0, 0xC1, 0xC9, 0xCA}
"""Baseline, or with arithmetic coding."""
_SCAN_BYTES = 6
"""Of the least header of a scan."""
_LAST, _COARSEST, _AC_TABLE = 63, 13, 0x10
"""The last coefficient of a block, the most bits that a scan may leave out, and the class of a table (B and G)."""
_MOST_SEGMENTS = 10_000
"""Before a file is left to libjpeg, which reads tiny segments many times as fast."""
_ALONE = {0x01, 0xD8}
"""Markers without a segment."""


def for_an_eighth(data: bytes) -> bytes:
    """Return a progressive JPEG with the same pixels at an eighth of its size, of which half is decoded; or the same.

    Of a block, libjpeg needs only the mean there. So the scans of its other coefficients are dropped, except the first:
    libjpeg smooths a picture without any of them. Colors with fewer samples are reduced less, and stay. A file with a
    scan that libjpeg would refuse stays too.
    """
    view, kept, begun, finest, refined = memoryview(data), list[memoryview](), 0, frozenset[int](), set[int]()
    tables, left_out, complete = set[int](), dict[tuple[int, int], int](), False
    for kind, start, body, end in jpeg_segments(data, _MOST_SEGMENTS):
        if kind in _OTHER_FRAMES or (kind == _SCAN and len(body) < _SCAN_BYTES):
            return data
        if kind == _PROGRESSIVE:
            finest = _finest(body)
        tables.update(_tables(body) if kind == _TABLES else ())
        complete = kind == END
        if kind != _SCAN or body[0] != 1 or body[1] not in finest or body[3] == 0:
            continue
        if not _continues(body, tables, left_out):
            return data
        if body[1] not in refined and body[3] == 1 and body[5] >> 4 == 0:
            refined.add(body[1])
        else:
            kept.append(view[begun:start])
            begun = end
    return b"".join([*kept, view[begun:]]) if kept and complete and finest == refined else data


def _continues(scan: bytes, tables: set[int], left_out: dict[tuple[int, int], int]) -> bool:
    """Return whether a scan of one component refines what those before it left out, and note what it leaves out."""
    component, table, first, last, bits = scan[1:_SCAN_BYTES]
    before, after = bits >> 4, bits & 15
    coefficients = [(component, one) for one in range(first, last + 1)]
    fits = len(scan) == _SCAN_BYTES and first <= last <= _LAST and after <= _COARSEST
    fits = fits and (before == 0 or after == before - 1) and _AC_TABLE | table & 15 in tables
    fits = fits and all(left_out.get(one, 0) == before for one in coefficients)
    left_out.update(dict.fromkeys(coefficients, after))
    return fits


def _tables(body: bytes) -> Iterator[int]:
    """Yield class and number of each Huffman table in a segment, as one byte."""
    at = 0
    while at < len(body):
        yield body[at]
        at += 17 + sum(body[at + 1 : at + 17])


def jpeg_segments(data: bytes, most: int = 100_000) -> Iterator[tuple[int, int, bytes, int]]:
    """Yield marker, start, content and end of each segment of a JPEG, with the entropy-coded data of a scan.

    The end marker is the last, and missing if there are too many segments or one is cut (ITU-T T.81, B.1 and B.2). The
    default is what takes about a second.
    """
    at = 2
    for _ in range(most):
        found = _MARKER.search(data, at)
        if not found:
            return
        kind, start, at = data[found.end() - 1], found.start(), found.end()
        if kind == END:
            yield kind, start, b"", at
            return
        if kind in _ALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        body, at = data[at + 2 : at + length], at + length
        if kind == _SCAN:
            following = _MARKER.search(data, at)
            at = following.start() if following else len(data)
        yield kind, start, body, at


def _finest(frame: bytes) -> frozenset[int]:
    """Return the components of a frame with the most samples, if none has more of them across or down."""
    across, down = (max((one >> shift & 15 for one in frame[7::3]), default=0) for shift in (4, 0))
    return frozenset(
        one for one, samples in zip(frame[6::3], frame[7::3], strict=False) if samples == across << 4 | down
    )
