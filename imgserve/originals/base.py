"""What every place of originals offers, whatever keeps the bytes."""

from collections.abc import Iterator
from typing import Protocol

from imgserve.model import Original


class Originals(Protocol):
    """A place of originals, looked at by blocking calls that belong in a thread."""

    def stat(self, image_id: str, known: Original | None = None) -> Original:
        """Look at one original as it is now; `known` spares reading its header where it did not change.

        Raises:
            ImageNotFound: absent, hidden, outside, or no regular file: all alike.
            UnsupportedImage: present, but in no format that imgserve reads.
            OriginalUnsettled: present, young, and not yet recognizable.
        """
        ...

    def list(self) -> Iterator[str]:
        """Walk the image ids, folder by folder in the order of names."""
        ...
