import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from imgserve.download import Downloader, FetchRules
from imgserve.errors import AddressRefused, FetchFailed, ImgserveError, StorageFull, TooLarge, UnsupportedImage
from imgserve.library.upload import UploadReceiver, UploadWriter
from imgserve.originals.writable import WritableOriginals
from tests.disks import mount
from tests.pictures import encoded, quarters
from tests.remote import Remote, ok, remote

pytestmark = pytest.mark.anyio

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"></svg>'
JPEG = encoded(quarters(), "jpg")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def left(folder: Path) -> list[str]:
    """List what lies in a folder of originals, seen or not."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


async def arrived(folder: Path, *pieces: bytes, max_bytes: int = 1_000_000) -> bytes:
    """Let a file arrive, and give what came of it."""
    file = UploadWriter(WritableOriginals(folder), max_bytes)
    try:
        for piece in pieces:
            await file.write(piece)
        with await file.hand_over() as incoming:
            return incoming.path.read_bytes()
    finally:
        await file.drop()


@pytest.mark.parametrize("piece", [1000, 3000, 70_000, 400_000])
async def test_a_file_arrives_in_whatever_pieces(tmp_path: Path, piece: int) -> None:
    data = JPEG + os.urandom(600_000)
    assert await arrived(tmp_path, *(data[at : at + piece] for at in range(0, len(data), piece))) == data
    assert left(tmp_path) == []


async def test_a_file_of_few_bytes_arrives(tmp_path: Path) -> None:
    assert await arrived(tmp_path, b"<svg", b"/>") == b"<svg/>"


@pytest.mark.parametrize("pieces", [(), (b"",), (b"no image",), (b"GIF8", b"", b"no"), (b"x" * 5000,)])
async def test_what_does_not_begin_as_an_image_is_refused(tmp_path: Path, pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(UnsupportedImage):
        await arrived(tmp_path, *pieces)
    assert left(tmp_path) == []


async def test_a_film_is_refused_at_its_beginning(tmp_path: Path) -> None:
    file = UploadWriter(WritableOriginals(tmp_path), 1 << 30)
    with pytest.raises(UnsupportedImage):
        await file.write(b"\0\0\0\x20ftypisom" + bytes(5000))


async def test_a_file_beyond_the_limit_is_refused_at_the_limit(tmp_path: Path) -> None:
    assert await arrived(tmp_path, JPEG, max_bytes=len(JPEG)) == JPEG
    with pytest.raises(TooLarge):
        await arrived(tmp_path, JPEG, b"x", max_bytes=len(JPEG))
    assert left(tmp_path) == []


async def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path))
    try:
        with pytest.raises(StorageFull):
            await arrived(tmp_path, JPEG, *[bytes(65_536)] * 40, max_bytes=1 << 30)
        assert left(tmp_path) == []
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)  # noqa: S607  wherever the system has it


async def test_a_canceled_arrival_leaves_nothing(tmp_path: Path) -> None:
    file = UploadWriter(WritableOriginals(tmp_path), 1 << 30)

    async def arrive() -> None:
        try:
            await file.write(JPEG)
            while True:
                await file.write(bytes(300_000))
        finally:
            await file.drop()

    with anyio.move_on_after(0.2) as scope:
        await arrive()
    assert scope.cancelled_caught
    assert file.size > 300_000
    assert left(tmp_path) == []


@pytest.fixture
async def there() -> AsyncIterator[Remote]:
    async with remote() as served:
        yield served


def receiving(folder: Path, there: Remote, max_bytes: int = 1_000_000) -> UploadReceiver:
    rules = FetchRules(max_bytes, ports=frozenset({there.port}), networks=("127.0.0.1",))
    return UploadReceiver(WritableOriginals(folder), Downloader(rules), max_bytes=max_bytes)


async def test_a_fetched_picture_lies_where_others_come_in(tmp_path: Path, there: Remote) -> None:
    for data in (JPEG, SVG):
        there.answers["/shoe.jpg"] = ok(data)
        incoming, name = await receiving(tmp_path, there).fetch(f"http://127.0.0.1:{there.port}/shoe.jpg")
        with incoming:
            assert (incoming.path.read_bytes(), name) == (data, "shoe.jpg")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "answer", "error"),
    [
        ("/a", ok(JPEG, length=len(JPEG) + 1), FetchFailed),
        *(
            ("/a", ok(body, "Content-Type: image/jpeg"), UnsupportedImage)
            for body in (b"", b"<html><body>not here</body></html>", b"GIF8", b"%!PS-Adobe", b"root:x:0:0")
        ),
        ("/a", ok(JPEG + bytes(1_000_000)), TooLarge),
        ("@x", ok(JPEG), AddressRefused),
    ],
)
async def test_what_cannot_be_fetched_leaves_nothing(
    tmp_path: Path, there: Remote, path: str, answer: bytes, error: type[ImgserveError]
) -> None:
    there.answers["/a"] = answer
    with pytest.raises(error):
        await receiving(tmp_path, there).fetch(f"http://127.0.0.1:{there.port}{path}")
    assert left(tmp_path) == []


async def test_fetching_may_be_turned_off(tmp_path: Path) -> None:
    with pytest.raises(AddressRefused, match="does not fetch"):
        await UploadReceiver(WritableOriginals(tmp_path), None, max_bytes=1).fetch("http://example.com/a.jpg")
