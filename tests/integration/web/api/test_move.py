"""Moving images by the API: one, many, conditions, errors, and the redirect of the record."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from imgserve.rendering.pool import ProcessPool
from tests.api_rig import Caller, calling

pytestmark = pytest.mark.anyio


@pytest.fixture
async def caller(tmp_path: Path, pool: ProcessPool) -> AsyncIterator[Caller]:
    (tmp_path / "mounted").mkdir()
    address = f"sqlite:///{tmp_path}/catalog.sqlite"
    async with calling(tmp_path, address, pool=pool, mounts=["mounted"], redirect_seconds=3600) as made:
        yield made


async def test_a_moved_image_has_its_record_at_the_new_id(caller: Caller) -> None:
    await caller.record("a/b c.png", title="Shoe")
    before = (await caller.get("/api/images/a/b%20c.png")).json()
    answer = await caller.post("/api/move/a/b%20c.png", json={"to": "d/ü.png"})
    assert (answer.status_code, answer.headers["content-location"]) == (200, "/api/images/d/%C3%BC.png")
    assert answer.json() == before | {"id": "d/ü.png", "url": "/img/d/%C3%BC.png", "changed": answer.json()["changed"]}
    record = await caller.get("/api/images/d/%C3%BC.png")
    assert (record.json(), record.headers["etag"]) == (answer.json(), answer.headers["etag"])


async def test_the_old_record_redirects_while_the_new_one_is_there(caller: Caller) -> None:
    await caller.record("a.png")
    await caller.post("/api/move/a.png", json={"to": "b.png"})
    for method in ("get", "head"):
        answer = await getattr(caller, method)("/api/images/a.png")
        assert (answer.status_code, answer.headers["location"]) == (308, "/api/images/b.png")
    assert (await caller.patch("/api/images/a.png", json={"title": "x"})).status_code == 404
    assert (await caller.delete("/api/images/b.png")).status_code == 200
    assert (await caller.get("/api/images/a.png")).status_code == 404


@pytest.mark.parametrize(
    ("old", "body", "status", "code"),
    [
        ("absent.png", {"to": "b.png"}, 404, "image_not_found"),
        ("a.png", {"to": "taken.png"}, 409, "image_exists"),
        ("a.png", {"to": "../b.png"}, 400, "bad_image_id"),
        ("a.png", {"to": ""}, 400, "bad_image_id"),
        ("a.png", {"to": "b.webp"}, 400, "bad_image_id"),
        ("a.png", {"to": "mounted/b.png"}, 403, "read_only_originals"),
        ("a.png", {}, 400, "bad_request"),
        ("a.png", {"to": "b.png", "from": "a.png"}, 400, "bad_request"),
    ],
)
async def test_what_cannot_be_moved(caller: Caller, old: str, body: dict[str, Any], status: int, code: str) -> None:
    await caller.record("a.png")
    await caller.record("taken.png", 1)
    answer = await caller.post(f"/api/move/{old}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await caller.get("/api/images/a.png")).status_code == 200


async def test_a_move_may_depend_on_the_record(caller: Caller) -> None:
    await caller.record("a.png")
    etag = (await caller.get("/api/images/a.png")).headers["etag"]
    await caller.patch("/api/images/a.png", json={"title": "x"})
    answer = await caller.post("/api/move/a.png", json={"to": "b.png"}, headers={"if-match": etag})
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    answer = await caller.post("/api/move/a.png", json={"to": "b.png"}, headers={"if-match": "*"})
    assert answer.status_code == 200


async def test_many_images_move_with_their_prefix(caller: Caller) -> None:
    for number, name in enumerate(("old/a.png", "old/b/c.png", "old/d.png", "older.png", "old/new/d.png")):
        await caller.record(name, number)
    answer = await caller.post("/api/move", json={"prefix": "old/", "to": "old/new/"})
    results = answer.json()["results"]
    moved = [(one["id"], one["image"]["id"]) for one in results if "image" in one]
    assert moved == [
        ("old/a.png", "old/new/a.png"),
        ("old/b/c.png", "old/new/b/c.png"),
        ("old/new/d.png", "old/new/new/d.png"),
    ]
    assert [(one["id"], one["problem"]["code"]) for one in results if "problem" in one] == [
        ("old/d.png", "image_exists")
    ]


async def test_too_many_images_are_refused_before_any_is_moved(caller: Caller) -> None:
    for number in range(11):
        await caller.record(f"old/{number:02}.png", number)
    answer = await caller.post("/api/move", json={"prefix": "old/", "to": "new/"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert (await caller.get("/api/images/old/00.png")).status_code == 200
