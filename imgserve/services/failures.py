"""What could not be rendered, remembered for a while, so that the same bad file cannot keep the processes busy."""

from cachetools import TTLCache

from imgserve.cache import RenditionKey
from imgserve.errors import (
    ImgserveError,
    RenderCrashed,
    RenderTimeout,
    TooLarge,
    UnreadableImage,
    UnsupportedImage,
)

_MOST = 10_000
_TIMEOUTS_OF_A_FILE = 2
"""One modest picture over time may have met a busy moment; two of one file mean the file."""


class Failures:
    """Errors by rendition, and by original where the whole file is at fault."""

    def __init__(self, seconds: float) -> None:
        """Remember each failure for so long."""
        self._pictures: TTLCache[str, ImgserveError] = TTLCache(_MOST, seconds)
        self._files: TTLCache[tuple[str, str], ImgserveError] = TTLCache(_MOST, seconds)
        self._timeouts: TTLCache[tuple[str, str], int] = TTLCache(_MOST, seconds)

    def check(self, key: RenditionKey) -> None:
        """Raise again what this picture, or its file, failed with a moment ago."""
        known = self._files.get((key.image_id, key.version)) or self._pictures.get(key.path)
        if known is not None:
            raise known.with_traceback(None)

    def remember(self, key: RenditionKey, error: ImgserveError, *, modest: bool = True) -> None:
        """Keep an error that would come again; what may pass by itself is not kept.

        `modest` tells that little was asked for. Only then a timeout speaks against the file: else anyone could have a
        good one refused, by asking too much of it.
        """
        file = (key.image_id, key.version)
        if isinstance(error, RenderCrashed | UnsupportedImage):
            self._files[file] = error
        elif isinstance(error, RenderTimeout) and modest:
            self._timeouts[file] = self._timeouts.get(file, 0) + 1
            if self._timeouts[file] >= _TIMEOUTS_OF_A_FILE:
                self._files[file] = error
        if isinstance(error, UnreadableImage | TooLarge):
            self._pictures[key.path] = error
