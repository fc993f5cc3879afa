from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imgserve.errors import BadRequest, BodyTooLarge, UnsupportedImage
from imgserve.library.upload import UploadReceiver
from imgserve.originals.writable import WritableOriginals
from imgserve.web.api.upload_body import BodyReceiver
from tests.forms import FORM, Part, closing, form, opening
from tests.pictures import encoded, quarters

pytestmark = pytest.mark.anyio

JPEG = encoded(quarters(), "jpg")
PNG = encoded(quarters(), "png")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def stream(body: bytes, piece: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), piece):
        yield body[start : start + piece]


def collector(
    folder: Path, *, files: int = 10, request_bytes: int = 1_000_000, file_bytes: int = 100_000
) -> BodyReceiver:
    return BodyReceiver(
        UploadReceiver(WritableOriginals(folder), None, max_bytes=file_bytes), files=files, request_bytes=request_bytes
    )


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def collect(folder: Path, parts: list[Part], **limits: int) -> list[tuple[str, bytes | str]]:
    """Collect a form, and give the bytes of each file or the code of its error."""
    found = list[tuple[str, bytes | str]]()
    async with collector(folder, **limits) as collecting:
        await collecting.form(stream(form(parts)), FORM)
        for file in collecting.files:
            if file.error is not None:
                found.append((file.name, file.error.code))
                continue
            with file.take() as incoming:
                found.append((file.name, incoming.path.read_bytes()))
    assert left(folder) == []
    return found


async def test_files_and_fields_are_collected_in_order(tmp_path: Path) -> None:
    parts: list[Part] = [("a", "shoe.jpg", JPEG), ("title", None, "Schön".encode()), ("b", "hat.png", PNG)]
    async with collector(tmp_path) as collecting:
        await collecting.form(stream(form(parts)), FORM)
        assert [file.name for file in collecting.files] == ["shoe.jpg", "hat.png"]
        assert collecting.fields == [("title", "Schön")]
        assert len(left(tmp_path)) == 2
    assert left(tmp_path) == []


async def test_a_bad_file_does_not_spoil_the_others(tmp_path: Path) -> None:
    parts: list[Part] = [
        ("f", "text.jpg", b"no image at all" * 1000),
        ("f", "one.jpg", JPEG),
        ("f", "large.jpg", JPEG + bytes(200_000)),
        ("f", "nothing.jpg", b""),
        ("f", "two.png", PNG),
    ]
    assert await collect(tmp_path, parts) == [
        ("text.jpg", "unsupported_image"),
        ("one.jpg", JPEG),
        ("large.jpg", "original_too_large"),
        ("nothing.jpg", "unsupported_image"),
        ("two.png", PNG),
    ]


async def test_an_input_of_a_form_where_no_file_was_chosen_is_no_file(tmp_path: Path) -> None:
    assert await collect(tmp_path, [("f", "", b""), ("f", "a.jpg", JPEG)]) == [("a.jpg", JPEG)]


async def test_a_file_without_a_name_is_one(tmp_path: Path) -> None:
    assert await collect(tmp_path, [("f", "", JPEG)]) == [("", JPEG)]


@pytest.mark.parametrize(
    "parts",
    [
        [("f", "a.jpg", JPEG)] * 4,
        [("f", "a.jpg", JPEG + bytes(90_000))] * 2,
        [("f", "a.jpg", JPEG), ("title", None, b"x" * 70_000)],
        [("f", "a.jpg", JPEG), *[("title", None, b"x")] * 101],
    ],
)
async def test_too_much_is_refused_and_leaves_nothing(tmp_path: Path, parts: list[Part]) -> None:
    with pytest.raises(BodyTooLarge):
        await collect(tmp_path, parts, files=3, request_bytes=150_000)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "body",
    [
        form([("f", "a.jpg", JPEG)])[:-4],
        form([("f", "a.jpg", JPEG)])[: len(JPEG) // 2],
        opening("f", "a.jpg") + JPEG,
        form([("f", "a.jpg", JPEG), ("title", None, b"\xff\xfe")]),
        b"nothing" + closing(),
    ],
)
async def test_a_form_that_is_none_leaves_nothing(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(BadRequest):
        async with collector(tmp_path) as collecting:
            await collecting.form(stream(body), FORM)
    assert left(tmp_path) == []


async def test_a_client_that_leaves_leaves_nothing(tmp_path: Path) -> None:
    async def leaving() -> AsyncIterator[bytes]:
        yield form([("f", "a.jpg", JPEG), ("f", "b.jpg", JPEG)])[:-200]
        assert len(left(tmp_path)) == 1
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        async with collector(tmp_path) as collecting:
            await collecting.form(leaving(), FORM)
    assert left(tmp_path) == []


async def test_a_raw_body_is_one_file(tmp_path: Path) -> None:
    async with collector(tmp_path) as collecting:
        file = await collecting.raw(stream(JPEG), "shoe.jpg")
        with file.take() as incoming:
            assert incoming.path.read_bytes() == JPEG
    with pytest.raises(UnsupportedImage):
        async with collector(tmp_path) as collecting:
            await collecting.raw(stream(b"no image"), "")
    assert left(tmp_path) == []
