"""Write an upload to a hidden file, within limits."""

import anyio
from anyio import to_thread

from imgserve.download import Downloader
from imgserve.errors import AddressRefused, BadImageId, ImageNotFound, ImgserveError, TooLarge, UnsupportedImage
from imgserve.formats import HEAD_BYTES, sniff
from imgserve.originals.base import WritableOriginals
from imgserve.originals.incoming import Incoming
from imgserve.originals.root import new_id

_PIECE = 256 * 1024
"""Written at once: a way into a thread for each packet of the network would cost more than the writing."""


class Arriving:
    """One file that arrives, of which little is held in memory; dropped unless it is handed over.

    The first bytes must look like an image, so that a film does not fill the disk before it is refused.
    """

    def __init__(self, originals: WritableOriginals, max_bytes: int) -> None:
        """Take where files come in, and how many bytes one may have."""
        self._originals = originals
        self._max_bytes = max_bytes
        self._incoming: Incoming | None = None
        self._waiting = bytearray()
        self._known = False
        self.size = 0

    async def write(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            TooLarge, UnsupportedImage: as soon as it is known.
            StorageFull, ReadOnlyOriginals, Unavailable: it could not be written.
        """
        self.size += len(piece)
        if self.size > self._max_bytes:
            raise TooLarge(f"The file is larger than {self._max_bytes} bytes, which this server takes at most.")
        self._waiting += piece
        if not self._known and len(self._waiting) >= HEAD_BYTES:
            self._recognize()
        if len(self._waiting) >= _PIECE:
            await self._flush()

    async def hand_over(self) -> Incoming:
        """Take the end: give the file, on the disk as a whole; whoever takes it drops it."""
        if not self._known:
            self._recognize()
        incoming = await self._flush()
        await to_thread.run_sync(incoming.close)
        self._incoming = None
        return incoming

    async def drop(self) -> None:
        """Leave nothing behind of a file that was not handed over, also where the task is being canceled."""
        self._waiting.clear()
        if self._incoming is not None:
            await dropped(self._incoming)
            self._incoming = None

    def _recognize(self) -> None:
        found = sniff(bytes(self._waiting[:HEAD_BYTES]))
        if found is None or not found.readable:
            raise UnsupportedImage("The file is not in an image format that this server reads.")
        self._known = True

    async def _flush(self) -> Incoming:
        incoming = self._incoming
        if incoming is None:
            # A thread that was begun is waited for even by a canceled task, so no file is lost sight of.
            incoming = self._incoming = await to_thread.run_sync(self._originals.incoming)
        data, self._waiting = self._waiting, bytearray()
        await to_thread.run_sync(incoming.write, bytes(data))
        return incoming


class Receiving:
    """Opens files for what clients send, and fetches what they name."""

    def __init__(self, originals: WritableOriginals, downloader: Downloader | None, *, max_bytes: int) -> None:
        """Take where files come in, who fetches (None for nobody), and how many bytes a file may have."""
        self._originals = originals
        self._downloader = downloader
        self.max_bytes = max_bytes

    def file(self) -> Arriving:
        """Begin a file."""
        return Arriving(self._originals, self.max_bytes)

    def check_id(self, image_id: str) -> None:
        """Refuse an id before bytes are sent for it.

        Raises:
            BadImageId: no image can have it.
        """
        self._originals.check_id(image_id)

    async def replaceable(self, image_id: str) -> str:
        """Give the id by which an image is replaced or created: what is there keeps one that no new image could have.

        Raises:
            BadImageId: no image can have it, and none has.
        """
        try:
            self.check_id(image_id)
        except BadImageId:
            if await self.is_taken(image_id):
                return image_id
            image_id = new_id(image_id)
            self.check_id(image_id)
        return image_id

    async def is_taken(self, image_id: str) -> bool:
        """Tell whether something has this id now; what comes of an upload is decided where it gets its place."""
        try:
            await to_thread.run_sync(self._originals.stat, image_id)
        except ImageNotFound:
            return False
        except ImgserveError:
            return True  # whatever it is, it has the name
        return True

    async def fetch(self, url: str) -> tuple[Incoming, str]:
        """Fetch a picture, and tell what it is called where it came from.

        Raises:
            AddressRefused, FetchFailed, TooLarge, UnsupportedImage: as the downloader.
            StorageFull, ReadOnlyOriginals, Unavailable: it could not be written.
        """
        if self._downloader is None:
            raise AddressRefused("This server does not fetch pictures from addresses.")
        arriving = self.file()
        try:
            fetched = await self._downloader.fetch(url, arriving.write)
            return await arriving.hand_over(), fetched.file_name
        finally:
            await arriving.drop()


async def dropped(incoming: Incoming) -> None:
    """Delete a file that came in and is not wanted, also where the task is being canceled."""
    with anyio.CancelScope(shield=True):
        await to_thread.run_sync(incoming.drop)
