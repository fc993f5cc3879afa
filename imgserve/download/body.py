"""The body of an answer, unpacked as far as it may grow, and whether it is a picture."""

import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

from imgserve.errors import FetchFailed, TooLarge, UnsupportedImage
from imgserve.formats import HEAD_BYTES, Format, sniff

Write = Callable[[bytes], Awaitable[None]]

_PIECE = 64 * 1024
"""Of unpacked bytes: a few packed ones may hold gigabytes."""
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class Picture:
    """Takes the bytes of a picture: the first ones must look like one, and there is an end to it."""

    def __init__(self, write: Write, max_bytes: int) -> None:
        """Take where the bytes go, and how many there may be."""
        self._write = write
        self._max_bytes = max_bytes
        self._head = b""
        self.format: Format | None = None
        self.size = 0

    async def take(self, data: bytes) -> None:
        """Take a piece; TooLarge or UnsupportedImage as soon as it is known."""
        self.size += len(data)
        if self.size > self._max_bytes:
            raise TooLarge(f"The picture at this address is larger than {self._max_bytes} bytes.")
        if self.format is not None:
            await self._write(data)
            return
        self._head += data
        if len(self._head) >= HEAD_BYTES:
            await self._begin()

    async def end(self) -> Format:
        """Write what is left, and tell the format."""
        return self.format or await self._begin()

    async def _begin(self) -> Format:
        found = sniff(self._head[:HEAD_BYTES])
        if found is None or not found.readable:
            raise UnsupportedImage("What this address gives is not a picture in a format that this server reads.")
        self.format = found
        head, self._head = self._head, b""
        await self._write(head)
        return found


async def unpacked(pieces: AsyncIterator[bytes], coding: str) -> AsyncGenerator[bytes]:
    """Undo a content coding, which was not asked for but may come, in pieces of bounded size.

    Raises:
        FetchFailed: the coding is unknown, or the packed bytes are damaged or cut short.
    """
    if coding in {"", "identity"}:
        async for piece in pieces:
            yield piece
        return
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise FetchFailed("This address answered in a content coding that was not asked for.")
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    async for piece in pieces:
        for inflated in _inflated(unpacker, piece):
            yield inflated
    if not unpacker.eof or unpacker.unused_data:
        raise FetchFailed("The answer of this address is cut short or damaged.")


def _inflated(unpacker: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    try:
        while packed:
            yield unpacker.decompress(packed, _PIECE)
            packed = unpacker.unconsumed_tail
    except zlib.error as error:
        raise FetchFailed("The answer of this address is cut short or damaged.") from error
