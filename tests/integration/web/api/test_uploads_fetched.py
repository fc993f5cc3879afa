"""Pictures that clients name by address."""

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api_frame import AUTHORIZED, KEY
from tests.integration.web.conftest import UploadServer, upload_server
from tests.pictures import encoded, quarters
from tests.prefork import PATIENCE
from tests.remote import Remote, ok, redirect, remote

pytestmark = pytest.mark.anyio

JPEG = encoded(quarters(44, 33), "jpg")
PNG = encoded(quarters(45, 34), "png")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def there() -> AsyncIterator[Remote]:
    async with remote() as served:
        yield served


@pytest.fixture
def fetching(tmp_path: Path, there: Remote) -> Any:
    folder = tmp_path / "originals"
    folder.mkdir()
    with upload_server(folder, tmp_path / "catalog.sqlite", ports=[80, there.port]) as running:
        yield running


async def ask(taking: UploadServer, method: str, target: str, value: object) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=PATIENCE, headers=AUTHORIZED) as client:
        return await client.request(method, taking.served.base_url + target, json=value)


async def test_a_picture_is_fetched_and_taken_in(fetching: UploadServer, there: Remote) -> None:
    there.answers["/shop/shoe.jpg"] = ok(JPEG)
    url = f"http://127.0.0.1:{there.port}/shop/shoe.jpg"
    answer = await ask(fetching, "POST", "/api/images", {"url": url, "folder": "shop", "tags": ["red"]})
    assert answer.status_code == 201, answer.text
    assert (answer.json()["image"]["id"], answer.json()["image"]["tags"]) == ("shop/shoe.jpg", ["red"])
    again = await ask(fetching, "POST", "/api/images", {"url": url})
    assert (again.status_code, again.json()["outcome"]) == (200, "existing")


async def test_a_picture_is_fetched_under_an_id(fetching: UploadServer, there: Remote) -> None:
    there.answers["/a"], there.answers["/b"] = ok(JPEG), ok(PNG)
    url = f"http://127.0.0.1:{there.port}"
    first = await ask(fetching, "PUT", "/api/images/chosen.jpg", {"url": f"{url}/a", "title": "A"})
    assert (first.status_code, first.json()["image"]["title"]) == (201, "A")
    second = await ask(fetching, "PUT", "/api/images/chosen.jpg", {"url": f"{url}/b"})
    assert (second.status_code, second.json()["outcome"]) == (200, "replaced")
    assert (fetching.folder / "chosen.jpg").read_bytes() == PNG


async def test_items_are_answered_each_by_itself(fetching: UploadServer, there: Remote) -> None:
    there.answers["/a.jpg"], there.answers["/b.png"] = ok(JPEG), ok(PNG)
    there.answers["/page"] = ok(b"<html>")
    there.answers["/inside"] = redirect("http://10.0.0.1/a.jpg")
    url = f"http://127.0.0.1:{there.port}"
    items = [{"url": f"{url}{path}"} for path in ("/a.jpg", "/none", "/page", "/inside", "/b.png")]
    answer = await ask(fetching, "POST", "/api/images", {"items": items})
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [201, 422, 415, 422, 201]
    assert [result.get("problem", {}).get("code") for result in results] == [
        None,
        "fetch_failed",
        "unsupported_image",
        "address_refused",
        None,
    ]
    assert [result["name"] for result in results] == [item["url"] for item in items]


async def test_addresses_inside_are_refused_alike(fetching: UploadServer) -> None:
    hosts = ("10.0.0.1", "[::1]", "nowhere.invalid", "169.254.169.254")
    answers = [await ask(fetching, "POST", "/api/images", {"url": f"http://{host}/a.jpg"}) for host in hosts]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(422, "address_refused")}
    sentence = "The host is unknown, or this server does not download from it."
    assert {answer.json()["detail"] for answer in answers} == {sentence}
    assert fetching.files() == []


async def test_an_id_that_no_image_can_have_is_reported_before_anything_is_fetched(
    fetching: UploadServer, there: Remote
) -> None:
    url = f"http://127.0.0.1:{there.port}/a"
    answer = await ask(fetching, "POST", "/api/images", {"url": url, "id": "../a.jpg"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_image_id")
    assert there.requests == []


async def test_a_client_that_leaves_while_its_picture_is_fetched_leaves_nothing(
    fetching: UploadServer, there: Remote
) -> None:
    there.answers["/slow"] = ok(JPEG, length=1_000_000)
    body = json.dumps({"url": f"http://127.0.0.1:{there.port}/slow"}).encode()
    with socket.create_connection(fetching.served.address) as connection:
        connection.sendall(b"POST /api/images HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n")
        connection.sendall(b"X-API-Key: %s\r\nContent-Length: %d\r\n\r\n%s" % (KEY.encode(), len(body), body))
    answer = await ask(fetching, "POST", "/api/images", {"url": f"http://127.0.0.1:{there.port}/slow"})
    assert (answer.status_code, answer.json()["code"]) == (422, "fetch_failed")
    assert fetching.files() == []
