"""Images by the API: both clients with a server on a real socket."""

import io
import os
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from imgserve.client.api import File, Imgserve, Point, Similar, Upload
from imgserve.errors import (
    BadTransform,
    Busy,
    ImageExists,
    ImageNotFound,
    PreconditionFailed,
    Unauthorized,
    UnsupportedImage,
)
from tests.api_server import ApiServer, MakeClient, Seen, record, told

DATA = bytes(range(256)) * 1000


class OneWay(io.RawIOBase):
    """A stream that cannot go back, as a pipe."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


def _path(folder: Path) -> Path:
    (folder / "shoe.jpg").write_bytes(DATA)
    return folder / "shoe.jpg"


@pytest.mark.parametrize(
    ("make_file", "name"),
    [
        (_path, "shoe.jpg"),
        (lambda folder: str(_path(folder)), "shoe.jpg"),
        (lambda folder: _path(folder).open("rb"), "shoe.jpg"),
        (lambda folder: ("other é%.jpg", _path(folder)), "other é%.jpg"),
        (lambda _: ("shoe.jpg", DATA), "shoe.jpg"),
        (lambda _: ("shoe.jpg", io.BytesIO(DATA)), "shoe.jpg"),
        (lambda _: ("shoe.jpg", OneWay(DATA)), "shoe.jpg"),
    ],
)
def test_every_kind_of_file_arrives_whole(
    api: ApiServer, client: Imgserve, tmp_path: Path, make_file: Any, name: str
) -> None:
    steps: list[tuple[int, int | None]] = []
    file = make_file(tmp_path)
    uploaded = client.upload(file, folder="products", progress=lambda sent, total: steps.append((sent, total)))
    if isinstance(file, io.BufferedReader):
        file.close()
    assert api.seen[-1].body == DATA
    assert (uploaded.image.image_id, uploaded.outcome) == (f"products/{name}", "created")
    assert uploaded.similar == (Similar("twin.jpg", 2),)
    assert [sent for sent, _ in steps] == sorted({sent for sent, _ in steps})
    assert steps[-1][0] == len(DATA)
    known = not isinstance(file, tuple) or not isinstance(file[1], OneWay)
    assert {total for _, total in steps} == {len(DATA) if known else None}


def test_an_open_file_is_read_from_its_position(api: ApiServer, client: Imgserve) -> None:
    stream: BinaryIO = io.BytesIO(b"head" + DATA)
    stream.seek(4)
    client.upload(stream, image_id="a.jpg")
    assert api.seen[-1].body == DATA


def test_details_are_sent_with_an_upload(api: ApiServer, client: Imgserve) -> None:
    client.upload(
        b"1", image_id="a b.jpg", title="Ein Schuh & mehr", tags=["x", "y z"], metadata={"n": 1}, focal_point=(0.25, 1)
    )
    assert dict(api.seen[-1].query) | {"tags": ""} == {
        "id": "a b.jpg", "title": "Ein Schuh & mehr", "tags": "", "metadata": '{"n": 1}', "focal_point": "0.25,1.0"
    }  # fmt: skip
    assert [value for name, value in api.seen[-1].query if name == "tags"] == ["x", "y z"]


def _parts(seen: Seen) -> list[tuple[object, ...]]:
    """Cut a form apart: name, file name and content of each part."""
    form = message_from_bytes(f"content-type: {seen.headers['content-type']}\r\n\r\n".encode() + seen.body)
    parts = [part for part in form.walk() if not part.is_multipart()]
    return [
        (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True))
        for part in parts
    ]


@pytest.mark.parametrize(
    "send", [lambda client, file, **details: client.upload(file, **details),
             lambda client, file, **details: client.put("c.jpg", file, **details)],
    ids=["upload", "put"],
)  # fmt: skip
def test_details_too_long_for_a_url_are_sent_in_a_form(api: ApiServer, client: Imgserve, send: Any) -> None:
    steps: list[tuple[int, int | None]] = []
    text = "ä" * 20_000
    api.first.append(lambda: told(Busy(retry_after=0)))
    file = ('a "b"\r\n.jpg', io.BytesIO(DATA))
    send(client, file, description=text, tags=["x", "y"], progress=lambda sent, total: steps.append((sent, total)))
    assert _parts(api.seen[-1]) == [
        ("description", None, text.encode()), ("tags", None, b"x"), ("tags", None, b"y"),
        ("file", "a %22b%22%0D%0A.jpg", DATA),
    ]  # fmt: skip
    assert steps[-1] == (len(DATA), len(DATA))
    assert api.seen[-1].headers["content-length"] == str(len(api.seen[-1].body))


def test_a_name_that_is_no_text_arrives_byte_by_byte(api: ApiServer, client: Imgserve, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"latin-1 \xe9.jpg")
    path.write_bytes(b"1")
    api.answers["/api/images"] = told(UnsupportedImage())
    api.answers["/api/images/latin-1%20%E9.jpg"] = told(ImageNotFound())
    with pytest.raises(UnsupportedImage):
        client.upload(path)
    with pytest.raises(ImageNotFound):
        client.get(path.name)
    assert [seen.path for seen in api.seen] == ["/api/images", "/api/images/latin-1%20%E9.jpg"]


def test_put_replaces_an_image_unless_create_only(api: ApiServer, client: Imgserve) -> None:
    assert client.put("a/b.jpg", b"1").outcome == "created"
    assert client.put("a/b.jpg", b"22").outcome == "replaced"
    with pytest.raises(PreconditionFailed):
        client.put("a/b.jpg", b"333", create_only=True)
    assert api.images["a/b.jpg"]["bytes"] == 2


def test_the_server_downloads_a_url(api: ApiServer, client: Imgserve) -> None:
    client.upload_url("https://example.com/a.jpg", image_id="a.jpg", title="A", tags=("x",))
    assert api.seen[-1].document == {
        "url": "https://example.com/a.jpg", "id": "a.jpg", "title": "A", "tags": ["x"]
    }  # fmt: skip


def test_one_bad_file_of_many_does_not_stop_the_others(api: ApiServer, client: Imgserve, tmp_path: Path) -> None:
    api.images["b.jpg"] = record("b.jpg")
    files: list[File | Upload] = [
        ("a.jpg", b"1"),
        ("b.jpg", b"2"),
        tmp_path / "absent.jpg",
        Upload(("c.jpg", b"3"), image_id="x/c.jpg"),
    ]
    sent = {result.name: result for result in client.upload_many(files, tags=["new"])}
    assert {name for name, result in sent.items() if result.uploaded} == {"a.jpg", "c.jpg"}
    assert isinstance(sent["b.jpg"].error, ImageExists)
    assert isinstance(sent[str(tmp_path / "absent.jpg")].error, FileNotFoundError)
    assert api.images["x/c.jpg"]["tags"] == ["new"]


def test_an_error_of_all_files_ends_the_upload(api: ApiServer, make: MakeClient) -> None:
    with pytest.raises(Unauthorized):
        list(make(api.base_url, key="wrong").upload_many([("a.jpg", b"1")] * 50))
    assert len(api.seen) < 10


def test_a_record_is_read_with_its_times_and_hashes(api: ApiServer, client: Imgserve) -> None:
    api.images["a.jpg"] = record("a.jpg", b"12", focal_point={"x": 0.5, "y": 0.25}, tags=["t"], news={"added": "later"})
    image = client.get("a.jpg")
    assert (image.image_id, image.size, image.tags, image.focal_point) == ("a.jpg", 2, ("t",), Point(0.5, 0.25))
    assert image.created == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert (image.thumbhash, image.perceptual_hash) == (b"\x01\x02\x03", 255)


@pytest.mark.parametrize(("limit", "pages"), [(None, 3), (1200, 3), (700, 2), (3, 1), (500, 1), (0, 0)])
def test_pages_are_requested_when_they_are_needed(
    api: ApiServer, client: Imgserve, limit: int | None, pages: int
) -> None:
    api.images |= {f"a/{number:04}.jpg": record(f"a/{number:04}.jpg") for number in range(1200)}
    api.images["b.jpg"] = record("b.jpg")
    found = [image.image_id for image in client.find(prefix="a/", limit=limit)]
    assert found == sorted(api.images)[: 1200 if limit is None else limit]
    assert len(api.seen) == pages


def test_a_list_that_is_left_early_requests_no_further_page(api: ApiServer, client: Imgserve) -> None:
    api.images |= {f"{number:04}.jpg": record(f"{number:04}.jpg") for number in range(1200)}
    assert next(iter(client.find())).image_id == "0000.jpg"
    assert len(api.seen) == 1


def test_every_filter_reaches_the_server(api: ApiServer, client: Imgserve) -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    list(client.find(q="red shoe", tags=["a", "b"], formats=["png"], min_bytes=1, created_from=moment, sort="bytes"))
    assert sorted(api.seen[-1].query) == [
        ("created_from", "2026-01-02T00:00:00+00:00"), ("format", "png"), ("limit", "500"), ("min_bytes", "1"),
        ("q", "red shoe"), ("sort", "bytes"), ("tag", "a"), ("tag", "b"),
    ]  # fmt: skip


def test_a_change_names_what_is_changed_and_what_is_cleared(api: ApiServer, client: Imgserve) -> None:
    api.images["a.jpg"] = record("a.jpg", title="Old", alt="Old")
    changed = client.change("a.jpg", title="New", focal_point=(0.4, 0.3))
    assert (changed.title, changed.alt, changed.focal_point) == ("New", "Old", Point(0.4, 0.3))
    assert client.change("a.jpg", focal_point=None).focal_point is None
    assert api.seen[-1].document == {"focal_point": None}


def test_an_image_is_deleted_and_restored(api: ApiServer, client: Imgserve) -> None:
    api.images["a.jpg"] = record("a.jpg", b"1")
    gone = client.delete("a.jpg")
    with pytest.raises(ImageNotFound, match=r"There is no image 'a\.jpg'"):
        client.get("a.jpg")
    assert [(item.item, item.image_id, item.until) for item in client.trash()] == [
        (gone.trash_item, "a.jpg", gone.until)
    ]
    assert client.restore(str(gone.trash_item)).image_id == "a.jpg"
    assert client.get("a.jpg").size == 1


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (lambda client: client.delete_many(), ValueError),
        (lambda client: client.delete_many(["a"], prefix="b"), ValueError),
        (lambda client: client.delete_many("a.jpg"), TypeError),
        (lambda client: client.purge(), ValueError),
        (lambda client: client.purge("a", prefix="b"), ValueError),
        (lambda client: client.change("a"), ValueError),
        (lambda client: client.get("../a"), ValueError),
        (lambda client: client.convert("a", "we/bp"), ValueError),
        (lambda client: client.convert("a", "webp", widht=3), BadTransform),
        (lambda client: client.warm(["a"]), ValueError),
        (lambda client: client.transform("a", "widht=3"), BadTransform),
        (lambda client: client.upload(io.StringIO("text")), TypeError),
        (lambda client: list(client.find(created_from=datetime(2026, 1, 1))), ValueError),  # noqa: DTZ001  is refused
    ],
)
def test_a_mistake_is_raised_without_a_request(
    api: ApiServer, client: Imgserve, call: Any, wrong: type[Exception]
) -> None:
    with pytest.raises(wrong):
        call(client)
    assert api.seen == []
