"""The errors of decoders as errors for clients."""

import re

from imgserve.errors import ImgserveError, LimitExceeded, UnreadableImage, UnsupportedImage

_CHARACTERS = 160
_TOO_LARGE = re.compile(r"out of memory|cannot allocate|limit|exceed|too (?:large|big|many)|huge", re.IGNORECASE)
_UNSUPPORTED = re.compile(
    r"unsupported(?! marker)|not (?:supported|implemented|configured|compiled)|unknown (?:compression|codec)"
    r"|no (?:decod|plugin)",
    re.IGNORECASE,
)


def failure(format_name: str, message: str) -> ImgserveError:
    """Return the error for what a decoder says: a limit, a feature that is not read, or else a damaged file."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    said = f"{format_name}: {lines[0][:_CHARACTERS] if lines else 'no detail'}"
    if _TOO_LARGE.search(message):
        return LimitExceeded(f"The original needs more than one picture may take, or its decoder allows ({said}).")
    if _UNSUPPORTED.search(message) and "invalid input" not in message.lower():  # as libheif calls damage
        return UnsupportedImage(f"The original uses a feature of its format that is not read ({said}).")
    return UnreadableImage(f"The original is damaged and cannot be decoded ({said}).")
