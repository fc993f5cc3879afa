"""Uploads through real sockets into a real folder, looked at by a real rendering process."""

import hashlib
import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from tests.forms import FORM, form
from tests.integration.web.conftest import UploadServer, upload_server
from tests.pictures import encoded, quarters

_sizes = itertools.count(40)


def picture(name: str = "jpg") -> bytes:
    """Make a picture that no other test has."""
    return encoded(quarters(next(_sizes), 30), name)


def test_a_file_of_a_form_becomes_an_image(taking: UploadServer) -> None:
    data = picture()
    fields = {"title": "A shoe", "tags": "red, summer", "metadata": '{"sku": 7}', "focal_point": "0.2,0.8"}
    answer = taking.post(files={"file": ("Shoe.JPG", data)}, data=fields)
    assert answer.status_code == 201, answer.text
    said = answer.json()
    image = said["image"]
    assert said["outcome"] == "created"
    assert image["sha256"] == hashlib.sha256(data).hexdigest()
    assert (image["title"], image["tags"], image["who"], image["origin"]) == (
        "A shoe",
        ["red", "summer"],
        "admin",
        "upload",
    )
    assert image["metadata"]["sku"] == 7
    assert answer.headers["location"] == f"/api/images/{image['id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert (taking.folder / image["id"]).read_bytes() == data
    assert said["examples"]["width_400"].startswith(f"/img/{image['id']}?")


def test_a_raw_body_becomes_an_image(taking: UploadServer) -> None:
    data = picture("png")
    for content_type in ("image/png", "application/octet-stream", "application/x-www-form-urlencoded"):
        answer = taking.post(content=data, params={"title": "Raw"}, headers={"content-type": content_type})
        assert answer.status_code in {200, 201}, answer.text
        assert answer.json()["image"]["title"] == "Raw"


def test_the_id_comes_from_the_bytes_in_nested_folders(taking: UploadServer) -> None:
    data = picture()
    image_id = taking.post(content=data).json()["image"]["id"]
    digest = hashlib.sha256(data).hexdigest()
    assert image_id.startswith(f"{digest[:2]}/{digest[2:4]}/{digest[4:10]}")
    assert image_id.endswith(".jpg")


def test_the_same_bytes_again_are_the_existing_image(taking: UploadServer) -> None:
    data = picture()
    first, second = taking.post(content=data), taking.post(files={"file": ("other.jpg", data)})
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["outcome"] == "existing"
    assert second.json()["image"]["id"] == first.json()["image"]["id"]


def test_an_id_may_be_chosen_and_is_taken_then(taking: UploadServer) -> None:
    data = picture()
    answer = taking.post(content=data, params={"id": "chosen/Grüner Schuh.jpg"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["image"]["id"] == "chosen/Grüner Schuh.jpg"
    assert answer.headers["location"] == "/api/images/chosen/Gr%C3%BCner%20Schuh.jpg"
    retried = taking.post(content=data, params={"id": "chosen/Grüner Schuh.jpg"})
    assert (retried.status_code, retried.json()["outcome"]) == (200, "existing")
    again = taking.post(content=picture(), params={"id": "chosen/Grüner Schuh.jpg"})
    assert (again.status_code, again.json()["code"]) == (409, "image_exists")


def test_an_image_whose_id_ends_as_an_action_is_reported_where_it_is(taking: UploadServer) -> None:
    answer = taking.put("loc%2Fpurge", content=picture())
    assert (answer.status_code, answer.headers["location"]) == (201, "/api/images/loc%2Fpurge")


@pytest.mark.parametrize("image_id", ["end/purge", "end/similar", "end/convert/png", "end/transform", "end/original"])
def test_an_image_whose_id_ends_like_an_action_is_uploaded_read_changed_and_deleted(
    taking: UploadServer, image_id: str
) -> None:
    client, url = taking.served.client, f"{taking.served.base_url}/api/images/{image_id}"
    assert taking.put(image_id, content=picture()).json()["outcome"] == "created"
    assert taking.put(image_id, content=picture()).json()["outcome"] == "replaced"
    assert client.get(url).json()["id"] == image_id
    assert client.patch(url, json={"title": "Ends"}).json()["title"] == "Ends"
    assert client.delete(url).json()["deleted"][0]["id"] == image_id
    assert taking.post(content=picture(), params={"id": image_id}).json()["image"]["id"] == image_id
    assert client.delete(url).status_code == 200


@pytest.mark.parametrize("image_id", ["../up.jpg", ".hidden.jpg", "a//b.jpg", "a\\b.jpg", "", "x" * 300, "/a.jpg"])
def test_an_id_that_no_image_can_have_is_refused(taking: UploadServer, image_id: str) -> None:
    answer = taking.post(files={"file": ("a.jpg", picture())}, data={"id": image_id})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_image_id")


def test_a_folder_takes_the_names_of_files(taking: UploadServer) -> None:
    first = taking.post(files={"file": ("../../C:\\shoe [1].jpg", picture())}, data={"folder": "products/"})
    assert first.json()["image"]["id"] == "products/shoe [1].jpg"
    second = taking.post(files={"file": ("shoe [1].jpg", picture())}, data={"folder": "products"})
    assert (second.status_code, second.json()["code"]) == (409, "image_exists")


def test_many_files_are_answered_each_by_itself(taking: UploadServer) -> None:
    good, other = picture(), picture("png")
    files = [
        ("f", ("good.jpg", good)),
        ("f", ("text.jpg", b"no image " * 1000)),
        ("f", ("cut.jpg", picture()[:-200])),
        ("f", ("other.png", other)),
        ("f", ("again.jpg", good)),
    ]
    answer = taking.post(files=files, data={"tags": "bulk"})
    assert answer.status_code == 207, answer.text
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [201, 415, 422, 201, 200]
    assert [result["name"] for result in results] == ["good.jpg", "text.jpg", "cut.jpg", "other.png", "again.jpg"]
    assert results[1]["problem"]["code"] == "unsupported_image"
    assert results[2]["problem"]["code"] == "unreadable_image"
    assert results[1]["problem"]["request_id"] == answer.headers["x-request-id"]
    assert [results[at]["image"]["tags"] for at in (0, 3)] == [["bulk"], ["bulk"]]


def test_several_files_cannot_have_one_id(taking: UploadServer) -> None:
    answer = taking.post(files=[("f", ("a.jpg", picture())), ("f", ("b.jpg", picture()))], data={"id": "one.jpg"})
    assert answer.status_code == 400
    assert not (taking.folder / "one.jpg").exists()


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"just text, whatever its name", 415, "unsupported_image"),
        (b"", 415, "unsupported_image"),
        (b"\xff\xd8\xff\xe0" + bytes(5000), 422, "unreadable_image"),
        (encoded(quarters(400, 300), "jpg")[:-500], 422, "unreadable_image"),
        (encoded(quarters(400, 300), "png")[:200], 422, "unreadable_image"),
    ],
)
def test_what_cannot_be_decoded_is_refused_and_leaves_nothing(
    taking: UploadServer, data: bytes, status: int, code: str
) -> None:
    before = taking.files()
    for answer in (
        taking.post(files={"file": ("photo.jpg", data)}),
        taking.post(content=data, headers={"content-type": "image/jpeg"}),
        taking.put("photo.jpg", content=data),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert taking.files() == before


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"not a form", FORM),
        (form([]), FORM),
        (form([("title", None, b"no file")]), FORM),
        (form([("file", "a.jpg", b"x")])[:-10], FORM),
        (form([("file", "a.jpg", encoded(quarters(39, 30), "jpg")), ("titel", None, b"x")]), FORM),
        (form([("file", "a.jpg", encoded(quarters(39, 30), "jpg")), ("focal_point", None, b"2,2")]), FORM),
        (b"x", "multipart/form-data"),
        (b"{", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"[]", "application/json"),
        (b"{}", "application/json"),
        (b'{"items": []}', "application/json"),
        (json.dumps({"items": [{"url": "http://127.0.0.1/"}] * 6}).encode(), "application/json"),
    ],
)
def test_a_request_that_cannot_be_understood_is_a_bad_one(taking: UploadServer, body: bytes, content_type: str) -> None:
    before = taking.files()
    answer = taking.post(content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), answer.text
    assert taking.files() == before


def test_every_mistake_is_reported_at_once(taking: UploadServer) -> None:
    answer = taking.post(content=b"x", params={"titel": "x", "focal_point": "7,7", "id": "a", "folder": "b"})
    assert answer.status_code == 400
    assert len(answer.json()["mistakes"]) >= 3


def test_a_packed_body_is_refused(taking: UploadServer) -> None:
    answer = taking.post(content=picture(), headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_content")


@pytest.mark.parametrize("way", ["raw", "form"])
def test_put_creates_and_replaces(taking: UploadServer, way: str) -> None:
    def put(data: bytes, **headers: str) -> tuple[int, str]:
        body = {"content": data} if way == "raw" else {"files": {"file": ("any.jpg", data)}}
        answer = taking.put(f"put/{way}.jpg", headers=headers, **body)
        return answer.status_code, answer.json().get("outcome", answer.json().get("code"))

    first, second = picture(), picture()
    assert put(first) == (201, "created")
    assert put(first) == (200, "existing")
    assert put(second) == (200, "replaced")
    assert (taking.folder / f"put/{way}.jpg").read_bytes() == second
    assert put(picture(), **{"if-none-match": "*"}) == (412, "precondition_failed")
    assert (taking.folder / f"put/{way}.jpg").read_bytes() == second


@pytest.mark.parametrize("spelled", ["put/Gru%CC%88n.jpg", "put/odd%FF.jpg"])
def test_put_replaces_what_lies_there_under_an_odd_name(taking: UploadServer, spelled: str) -> None:
    path = taking.folder / os.fsdecode(unquote_to_bytes(spelled))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(picture())
    data = picture()
    answer = taking.put(spelled, content=data)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "replaced")
    assert path.read_bytes() == data
    assert taking.put(spelled, content=picture(), headers={"if-none-match": "*"}).status_code == 412


def test_put_composes_the_characters_of_a_new_name(taking: UploadServer) -> None:
    assert taking.put("put/neu%CC%88.jpg", content=picture()).json()["image"]["id"] == "put/ne\u00fc.jpg"


def test_put_with_a_condition_creates(taking: UploadServer) -> None:
    answer = taking.put("put/new.jpg", content=picture(), headers={"if-none-match": "*"})
    assert answer.status_code == 201


def test_put_replaces_only_the_record_that_it_names(taking: UploadServer) -> None:
    address = f"{taking.served.base_url}/api/images/put/read.jpg"
    first, second = picture(), picture()
    assert taking.put("put/read.jpg", content=first, headers={"if-match": "*"}).status_code == 412
    taking.put("put/read.jpg", content=first)
    read = {"if-match": taking.served.client.get(address).headers["etag"]}
    with ThreadPoolExecutor() as pool:
        answers = list(
            pool.map(lambda data: taking.put("put/read.jpg", content=data, headers=read), [second, picture()])
        )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    late = taking.put("put/read.jpg", content=first, headers=read)
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    now = {"if-match": taking.served.client.get(address).headers["etag"]}
    assert taking.put("put/read.jpg", content=first, headers=now).status_code == 200


def test_a_replacement_that_is_no_image_leaves_what_was_there(taking: UploadServer) -> None:
    data = picture()
    taking.put("put/stays.jpg", content=data)
    assert taking.put("put/stays.jpg", content=b"no image").status_code == 415
    assert taking.put("put/stays.jpg", content=picture()[:-300]).status_code == 422
    assert (taking.folder / "put/stays.jpg").read_bytes() == data


def test_duplicates_may_be_refused(tmp_path: Path) -> None:
    folder = tmp_path / "originals"
    folder.mkdir()
    data = picture()
    with upload_server(folder, tmp_path / "catalog.sqlite", duplicates="refuse") as taking:
        assert taking.post(content=data).status_code == 201
        again = taking.post(content=data)
        assert (again.status_code, again.json()["code"]) == (409, "duplicate_image")
        assert taking.post(content=data, params={"id": "other.jpg"}).status_code == 409
        assert len([name for name in taking.files() if name.endswith(".jpg")]) == 1


@pytest.mark.parametrize("way", ["raw", "form"])
def test_an_upload_with_an_idempotency_key_is_done_once(taking: UploadServer, way: str) -> None:
    data = picture()
    body = {"content": data} if way == "raw" else {"files": {"file": ("a.jpg", data)}, "data": {"title": "Once"}}
    first, second = (taking.post(headers={"idempotency-key": f"key-{way}"}, **body) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.json() == first.json()
    assert second.headers["location"] == first.headers["location"]


@pytest.mark.parametrize("way", ["raw", "form"])
def test_another_file_of_the_same_length_with_the_same_key_is_a_conflict(taking: UploadServer, way: str) -> None:
    data = picture("png")
    other = data[:-1] + bytes([data[-1] ^ 1])
    first, second = (
        taking.post(
            headers={"idempotency-key": f"same-{way}"},
            **({"content": content} if way == "raw" else {"files": {"file": ("a.png", content)}}),
        )
        for content in (data, other)
    )
    assert (first.status_code, second.status_code) == (201, 422)
    assert second.json()["code"] == "idempotency_conflict"


def test_a_query_beside_a_form_is_not_overlooked(taking: UploadServer) -> None:
    answer = taking.post(files={"file": ("a.jpg", picture())}, params={"folder": "products"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_an_upload_needs_a_key(taking: UploadServer) -> None:
    before = taking.files()
    for answer in (
        taking.post(content=picture(), headers={"authorization": "Bearer wrong"}),
        taking.put("a/b.jpg", content=picture(), headers={"authorization": ""}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert taking.files() == before
