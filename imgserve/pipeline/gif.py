"""Make libnsgif dispose of the frames of a GIF as browsers do."""

_TRANSPARENT, _DISPOSAL, _TO_BACKGROUND = 0x01, 0x1C, 2 << 2
_EXTENSION, _FRAME, _CONTROL = 0x21, 0x2C, 0xF9
_HAS_COLORS = 0x80
_MAX_COLORS = 256


def with_clear_disposal(data: bytes) -> bytes:
    """Return a GIF in which frames that are disposed to the background leave transparency (GIF89a, 23 and 18).

    libnsgif fills them with the background color if the frame does not declare a transparent color. So one is declared
    that no pixel has: an index behind the palette. A palette of 256 colors has none, unless its last color is a
    repetition, as encoders fill it up.
    """
    controls = _controls(data)
    if not controls:
        return data
    changed = bytearray(data)
    for control, index in controls:
        changed[control + 3] |= _TRANSPARENT
        changed[control + 6] = index
    return bytes(changed)


def _controls(data: bytes) -> list[tuple[int, int]]:
    """Return the offsets of the control blocks to change, each with an unused index; up to where the file is sound."""
    found: list[tuple[int, int]] = []
    shared, control = _palette(data, 10, data[10]) if len(data) > 13 else b"", -1  # noqa: PLR2004  the header
    at = 13 + len(shared)
    while at + 10 < len(data) and data[at] in (_EXTENSION, _FRAME):
        if data[at] == _EXTENSION:
            if data[at + 1] == _CONTROL:
                control = at
            at += 2
        else:
            own = _palette(data, at + 9, data[at + 9])
            unused = _unused(own or shared)
            opaque = control >= 0 and data[control + 3] & (_DISPOSAL | _TRANSPARENT) == _TO_BACKGROUND
            if opaque and unused is not None:
                found.append((control, unused))
            control = -1
            at += 10 + len(own) + 1
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return found


def _palette(data: bytes, flags_at: int, flags: int) -> bytes:
    """Return the colors behind a descriptor whose packed fields are the flags."""
    start = flags_at + (3 if flags_at == 10 else 1)  # noqa: PLR2004  background and aspect ratio follow in the header
    return data[start : start + 3 * 2 ** ((flags & 7) + 1)] if flags & _HAS_COLORS else b""


def _unused(palette: bytes) -> int | None:
    colors = [palette[at : at + 3] for at in range(0, len(palette), 3)]
    if len(colors) < _MAX_COLORS:
        return len(colors)
    return _MAX_COLORS - 1 if colors[-1] == colors[-2] else None
