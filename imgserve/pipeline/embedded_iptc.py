"""The texts of IPTC-IIM, the oldest of the three blocks (IPTC-NAA Information Interchange Model 4.2)."""

from collections.abc import Iterator

from imgserve.pipeline.embedded_text import Told, block, decoded, keywords, line, moment

_PHOTOSHOP_BLOCK, _RESOURCE, _IPTC_RESOURCE = b"Photoshop 3.0\0", b"8BIM", 0x0404
_MARKER, _CHARSET, _APPLICATION = 0x1C, (1, 90), 2
_UTF8 = b"\x1b%G"
_EXTENDED = 0x8000
_MOST_DATASETS = 2000

_OBJECT_NAME, _KEYWORDS, _DATE, _TIME, _BYLINE = 5, 25, 55, 60, 80
_HEADLINE, _CREDIT, _COPYRIGHT, _CAPTION = 105, 110, 116, 120


def read_iptc(data: bytes) -> Told:
    """Read the texts of a block, with or without the wrapping of Photoshop; nothing where it is none."""
    found: dict[int, list[bytes]] = {}
    utf8 = False
    for record, number, value in _datasets(_unwrapped(data)):
        if (record, number) == _CHARSET:
            utf8 = value == _UTF8
        elif record == _APPLICATION:
            found.setdefault(number, []).append(value)

    def texts(number: int) -> list[str]:
        return [value.decode(errors="ignore") if utf8 else decoded(value) for value in found.get(number, [])]

    def first(*numbers: int) -> str:
        return next((text for number in numbers for text in texts(number) if text.strip()), "")

    return Told(
        title=line(first(_OBJECT_NAME, _HEADLINE)),
        description=block(first(_CAPTION)),
        keywords=keywords(texts(_KEYWORDS)),
        copyright=line(first(_COPYRIGHT)),
        creator=line(", ".join(texts(_BYLINE))),
        credit=line(first(_CREDIT)),
        taken=_taken(first(_DATE), first(_TIME)),
    )


def _taken(date: str, time: str) -> str:
    """Join CCYYMMDD and HHMMSS±HHMM."""
    day = f"{date[:4]}-{date[4:6]}-{date[6:8]}"
    offset = f"{time[6:9]}:{time[9:11]}" if len(time) >= len("HHMMSS+HHMM") else ""
    return moment(f"{day}T{time[:2]}:{time[2:4]}:{time[4:6]}{offset}") or moment(day)


def _unwrapped(data: bytes) -> bytes:
    """Find the block among the resources of Photoshop: sign, number, name of even length, size, data of even length."""
    if not data.startswith((_PHOTOSHOP_BLOCK, _RESOURCE)):
        return data
    at = len(_PHOTOSHOP_BLOCK) if data.startswith(_PHOTOSHOP_BLOCK) else 0
    while data[at : at + 4] == _RESOURCE and at + 12 <= len(data):
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        at += 6 + _even(1 + data[at + 6])
        size = int.from_bytes(data[at : at + 4], "big")
        if number == _IPTC_RESOURCE:
            return data[at + 4 : at + 4 + size]
        at += 4 + _even(size)
    return b""


def _datasets(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Read record, number and value of each data set; stops at the first thing that is none."""
    at = 0
    for _ in range(_MOST_DATASETS):
        if at + 5 > len(data) or data[at] != _MARKER:
            return
        record, number, size = data[at + 1], data[at + 2], int.from_bytes(data[at + 3 : at + 5], "big")
        at += 5
        if size & _EXTENDED:  # the length follows, in so many bytes
            length = size & ~_EXTENDED
            if length > 4:  # noqa: PLR2004  no file is as long
                return
            size = int.from_bytes(data[at : at + length], "big")
            at += length
        if at + size > len(data):
            return
        yield record, number, data[at : at + size]
        at += size


def _even(size: int) -> int:
    return size + size % 2
