"""Write an upload to a hidden file, within limits; fetch a file from an address."""

import anyio
from anyio import to_thread

from imgserve.download import Downloader
from imgserve.errors import AddressRefused, BadImageId, ImageNotFound, ImgserveError, TooLarge, UnsupportedImage
from imgserve.formats import HEAD_BYTES, sniff
from imgserve.originals.incoming import Incoming
from imgserve.originals.writable import WritableOriginals, new_id

_WRITE_BYTES = 256 * 1024
"""Written at once: to enter a thread for each packet of the network would cost more than the writing."""


class UploadWriter:
    """Writes one upload to an incoming file, with little in memory; the file is dropped unless it is handed over.

    The first bytes must look like an image, so that a video is rejected before it fills the disk.
    """

    def __init__(self, originals: WritableOriginals, max_bytes: int) -> None:
        self._originals = originals
        self._max_bytes = max_bytes
        self._incoming: Incoming | None = None
        self._buffer = bytearray()
        self._recognized = False
        self.size = 0
        """Bytes received."""

    async def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            TooLarge, UnsupportedImage: the upload is rejected.
            StorageFull, ReadOnlyOriginals, Unavailable: it could not be written.
        """
        self.size += len(data)
        if self.size > self._max_bytes:
            raise TooLarge(f"The file is larger than {self._max_bytes} bytes, the limit of this server.")
        self._buffer += data
        if not self._recognized and len(self._buffer) >= HEAD_BYTES:
            self._recognize()
        if len(self._buffer) >= _WRITE_BYTES:
            await self._flush()

    async def hand_over(self) -> Incoming:
        """Return the complete file, flushed to the disk; from then on the caller has to drop it."""
        if not self._recognized:
            self._recognize()
        incoming = await self._flush()
        await to_thread.run_sync(incoming.close)
        self._incoming = None
        return incoming

    async def drop(self) -> None:
        """Delete the file unless it was handed over, even if the task is being cancelled."""
        self._buffer.clear()
        if self._incoming is not None:
            await dropped(self._incoming)
            self._incoming = None

    def _recognize(self) -> None:
        found = sniff(bytes(self._buffer[:HEAD_BYTES]))
        if found is None or not found.readable:
            raise UnsupportedImage("The file is not in an image format that this server reads.")
        self._recognized = True

    async def _flush(self) -> Incoming:
        incoming = self._incoming
        if incoming is None:
            # Even a cancelled task waits for a thread that was started, so no file is lost.
            incoming = self._incoming = await to_thread.run_sync(self._originals.incoming)
        data, self._buffer = self._buffer, bytearray()
        await to_thread.run_sync(incoming.write, bytes(data))
        return incoming


class UploadReceiver:
    """Creates the incoming files for uploads, and fetches files from addresses."""

    def __init__(self, originals: WritableOriginals, downloader: Downloader | None, *, max_bytes: int) -> None:
        """Create a receiver of files of up to `max_bytes`; without a downloader it fetches nothing."""
        self._originals = originals
        self._downloader = downloader
        self.max_bytes = max_bytes

    def file(self) -> UploadWriter:
        """Return a writer for a new file."""
        return UploadWriter(self._originals, self.max_bytes)

    def check_id(self, image_id: str) -> None:
        """Check an id before bytes are sent for it.

        Raises:
            BadImageId: no image can have it.
        """
        self._originals.check_id(image_id)

    async def replaceable(self, image_id: str) -> str:
        """Return the id under which an image is replaced or created; an existing image keeps an unusual id.

        Raises:
            BadImageId: no image can have it, and none has it.
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
        """Return whether a file has this id now; the final decision is made when the upload is placed."""
        try:
            await to_thread.run_sync(self._originals.stat, image_id)
        except ImageNotFound:
            return False
        except ImgserveError:
            return True  # a file that is not a usable image
        return True

    async def fetch(self, url: str) -> tuple[Incoming, str]:
        """Fetch a file, and return it with its name.

        Raises:
            AddressRefused, FetchFailed, TooLarge, UnsupportedImage: as `Downloader.fetch`.
            StorageFull, ReadOnlyOriginals, Unavailable: it could not be written.
        """
        if self._downloader is None:
            raise AddressRefused("This server does not fetch pictures from addresses.")
        writer = self.file()
        try:
            fetched = await self._downloader.fetch(url, writer.write)
            return await writer.hand_over(), fetched.file_name
        finally:
            await writer.drop()


async def dropped(incoming: Incoming) -> None:
    """Delete an incoming file, even if the task is being cancelled."""
    with anyio.CancelScope(shield=True):
        await to_thread.run_sync(incoming.drop)
