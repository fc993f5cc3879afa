"""The scans of a progressive JPEG that are needed for its picture at an eighth of the size (ITU-T T.81, B and G)."""

import re
from collections.abc import Iterator

_MARKER = re.compile(rb"\xff[^\0\xd0-\xd7\xff]")
"""Not a stuffed byte, a restart marker or a fill byte."""
_END, _SCAN, _PROGRESSIVE = 0xD9, 0xDA, 0xC2
_SCAN_BYTES = 6
"""Of the least header of a scan."""
_ALONE = {0x01, 0xD8}
"""Markers without a segment."""


def for_an_eighth(data: bytes) -> bytes:
    """Return a progressive JPEG with the same pixels at an eighth of its size, of which half is decoded; or the same.

    Of a block, libjpeg needs only the mean there. So the scans of its other coefficients are dropped, except the first:
    libjpeg smooths a picture without any of them. Colors with fewer samples are reduced less, and stay.
    """
    view, kept, begun, finest, refined = memoryview(data), list[memoryview](), 0, frozenset[int](), set[int]()
    for kind, start, body, end in _segments(data):
        if kind == _PROGRESSIVE:
            finest = _finest(body)
        if kind != _SCAN or body[0] != 1 or body[1] not in finest or body[3] == 0:
            continue
        if body[1] not in refined and body[3] == 1 and body[-1] >> 4 == 0:
            refined.add(body[1])
        else:
            kept.append(view[begun:start])
            begun = end
    return b"".join([*kept, view[begun:]]) if kept and finest == refined else data


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes, int]]:
    """Yield marker, start, content and end of each segment, with the entropy-coded data of a scan, until one is cut."""
    at = 2
    while found := _MARKER.search(data, at):
        kind, start, at = data[found.end() - 1], found.start(), found.end()
        if kind in _ALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        body, at = data[at + 2 : at + length], at + length
        following = _MARKER.search(data, at) if kind == _SCAN else None
        if kind == _END or len(body) < length - 2 or (kind == _SCAN and (len(body) < _SCAN_BYTES or not following)):
            return
        yield kind, start, body, following.start() if following else at


def _finest(frame: bytes) -> frozenset[int]:
    """Return the components of a frame with the most samples, if none has more of them across or down."""
    across, down = (max((one >> shift & 15 for one in frame[7::3]), default=0) for shift in (4, 0))
    return frozenset(
        one for one, samples in zip(frame[6::3], frame[7::3], strict=False) if samples == across << 4 | down
    )
