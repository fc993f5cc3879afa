"""Many images at once, purges, trash, problems and figures, as callers of the API meet them."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from imgserve.cache import RenditionKey
from imgserve.model import Rendition
from imgserve.records import RenderProblem
from tests.api_rig import Caller
from tests.catalogs import START

pytestmark = pytest.mark.anyio
NO_FILTER = 'query: expected at least one filter; "prefix": "" selects all images'


async def test_many_are_tagged_by_ids_or_by_a_query(api: Caller) -> None:
    await api.record("a/1", 1)
    await api.record("a/2", 2, tags=("new",))
    await api.record("b/1", 3)
    body = {"query": {"prefix": "a/"}, "add": ["shoe"], "remove": ["new"]}
    assert (await api.post("/api/bulk/tag", json=body)).json() == {"changed": 2}
    assert (await api.post("/api/bulk/tag", json=body)).json() == {"changed": 0}
    assert (await api.post("/api/bulk/tag", json={"ids": ["b/1", "none"], "add": ["x"]})).json() == {"changed": 1}
    assert (await api.get("/api/images/a/2")).json()["tags"] == ["shoe"]


async def test_many_are_deleted_and_those_that_are_not_there_passed_over(api: Caller) -> None:
    await api.record("a/1", 1)
    await api.record("b/1", 2)
    answer = await api.post("/api/bulk/delete", json={"ids": ["b/1", "none", "a/1"]})
    assert [one["id"] for one in answer.json()["deleted"]] == ["b/1", "a/1"]
    assert (await api.get("/api/images")).json()["images"] == []


async def test_many_are_selected_by_names_that_are_not_utf8(api: Caller) -> None:
    await api.record("\udcff/a", 1)
    await api.record("b", 2)
    assert [one["id"] for one in (await api.get("/api/images?prefix=%FF/")).json()["images"]] == ["\udcff/a"]
    bodies: list[dict[str, Any]] = [{"ids": ["\udcff/a"]}, {"query": {"prefix": "\udcff"}}]
    for number, body in enumerate(bodies):
        answer = await api.post("/api/bulk/tag", **escaped({**body, "add": [f"t{number}"]}))
        assert answer.json() == {"changed": 1}
    assert (await api.post("/api/purge", **escaped({"prefix": "\udcff/"}))).json() == {"images": 1, "renditions": 0}


def escaped(document: object) -> dict[str, Any]:
    """Write JSON in ASCII, which can hold ids that are no text."""
    return {"content": json.dumps(document).encode(), "headers": {"content-type": "application/json"}}


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        ({}, "expected exactly one of ids, query, but received none"),
        ({"ids": ["a"], "query": {"prefix": ""}}, "expected exactly one of ids, query, but received ids, query"),
        ({"query": {}}, NO_FILTER),
        ({"query": {"tag": [], "q": " ", "format": [], "origin": None, "min_bytes": None}}, NO_FILTER),
        ({"query": {"tag": [""]}}, 'query.tag.0: expected text of at least 1 characters, but received ""'),
        ({"query": {"tag": [" \0"]}}, 'query.tag.0: expected a tag, but received " \\x00"'),
        ({"ids": ["x" * 4097]}, f'ids.0: expected text of at most 4096 characters, but received "{"x" * 37}..."'),
        ({"ids": []}, "ids: expected a list of at least 1, but received a list of 0"),
        ({"query": {"prefx": "a"}}, "query.prefx: there is no such name here"),
    ],
)
async def test_a_selection_that_might_mean_more_than_is_declared_is_refused(
    api: Caller, body: object, mistake: str
) -> None:
    await api.record("a", 1)
    answer = await api.post("/api/bulk/delete", json=body)
    assert (answer.status_code, answer.json()["mistakes"]) == (400, [mistake])
    assert len((await api.get("/api/images")).json()["images"]) == 1


async def test_purges_remove_what_was_made_and_nothing_else(api: Caller) -> None:
    for number, image_id in enumerate(("a/1", "a/2", "b/1")):
        await api.record(image_id, number, tags=(f"t{number}",))

    async def render() -> None:
        for image_id in ("a/1", "a/2", "b/1"):
            await api.rig.render(image_id)
            await api.rig.render(image_id, "Card")

    for target, body, purged in [
        ("/api/purge/a/1", None, {"images": 1, "renditions": 2}),
        ("/api/purge", {"prefix": "a/"}, {"images": 2, "renditions": 4}),
        ("/api/purge", {"tag": "t2"}, {"images": 1, "renditions": 2}),
        ("/api/purge", {"preset": "card"}, {"images": 3, "renditions": 3}),
        ("/api/bulk/purge", {"ids": ["b/1"]}, {"images": 1, "renditions": 2}),
        ("/api/purge", {"all": True}, {"images": 3, "renditions": 6}),
    ]:
        await render()
        answer = await api.post(target, **({} if body is None else {"json": body}))
        assert answer.json() == purged, target
    await render()
    assert (await api.delete("/api/cache")).json() == {"images": 3, "renditions": 6}
    assert (await api.get("/api/cache")).json()["memory"]["entries"] == 0


async def test_purges_keep_mezzanines_unless_they_are_requested(api: Caller) -> None:
    await api.record("a/1", 1)

    async def mezzanines() -> int:
        return int((await api.get("/api/cache")).json()["mezzanine"]["entries"])

    for send, target, body in [
        (api.post, "/api/purge/a/1", None),
        (api.post, "/api/purge", {"prefix": "a/"}),
        (api.post, "/api/purge", {"all": True}),
        (api.post, "/api/bulk/purge", {"ids": ["a/1"]}),
        (api.delete, "/api/cache", None),
    ]:
        api.rig.prepare("a/1")
        assert (await send(target, **({} if body is None else {"json": body}))).status_code == 200
        assert await mezzanines() == 1, target
        requested = {"params": {"mezzanines": "true"}} if body is None else {"json": {**body, "mezzanines": True}}
        assert (await send(target, **requested)).status_code == 200
        assert await mezzanines() == 0, target


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        ({}, "expected exactly one of prefix, tag, preset, all, but received none"),
        (
            {"preset": "Card", "mezzanines": True},
            "mezzanines: expected without preset, because mezzanines belong to images",
        ),
        ({"prefix": ""}, 'prefix: expected text of at least 1 characters, but received ""'),
        ({"tag": "\t"}, 'tag: expected a tag, but received "\\t"'),
        ({"all": False}, "all: expected true, but received false"),
        ({"all": True, "tag": "x"}, "expected exactly one of prefix, tag, preset, all, but received tag, all"),
        ({"preset": "none"}, "preset: expected one of card"),
    ],
)
async def test_a_purge_says_exactly_what(api: Caller, body: object, mistake: str) -> None:
    answer = await api.post("/api/purge", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (400, mistake)


async def test_the_trash_is_emptied_item_by_item_or_at_once(api: Caller) -> None:
    for number in range(3):
        await api.record(f"{number}", number)
    deleted = (await api.post("/api/bulk/delete", json={"query": {"prefix": ""}})).json()["deleted"]
    first = deleted[0]["trash_item"]
    assert (await api.delete(f"/api/trash/{first}")).json() == {"destroyed": 1}
    gone = await api.post(f"/api/trash/{first}/restore")
    assert (gone.status_code, gone.json()["code"]) == (404, "trash_item_not_found")
    assert (await api.delete("/api/trash")).json() == {"destroyed": 2}
    assert (await api.get("/api/trash")).json() == {"items": []}


async def test_an_image_is_not_restored_over_another(api: Caller) -> None:
    await api.record("a", 1)
    (deleted,) = (await api.delete("/api/images/a")).json()["deleted"]
    await api.record("a", 2)
    answer = await api.post(f"/api/trash/{deleted['trash_item']}/restore")
    assert (answer.status_code, answer.json()["code"]) == (409, "image_exists")


async def test_files_that_are_no_images_are_reported_page_by_page(api: Caller) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b.jpg"):
        api.rig.put(name, b"\xff\xd8\xff no picture")
        await api.rig.ingest.record(name, background=False)
    page = (await api.get("/api/problems?prefix=a/&limit=1")).json()
    assert [one["id"] for one in page["problems"]] == ["a/1.jpg"]
    assert page["problems"][0]["code"] == "unreadable_image"
    last = (await api.get(f"/api/problems?prefix=a/&limit=1&cursor={page['next']}")).json()
    assert ([one["id"] for one in last["problems"]], last["next"]) == (["a/2.jpg"], None)
    stats = (await api.get("/api/stats")).json()
    assert stats == {"images": 0, "bytes": 0, "problems": 3, "version": "1.2.3"}


async def test_a_repeated_request_is_done_once(api: Caller) -> None:
    await api.record("a", 1)
    key = {"idempotency-key": "k-1"}
    first = await api.post("/api/bulk/delete", json={"ids": ["a"]}, headers=key)
    again = await api.post("/api/bulk/delete", json={"ids": ["a"]}, headers=key)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    other = await api.post("/api/bulk/delete", json={"ids": ["b"]}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")


async def test_images_are_counted_and_folders_listed(api: Caller) -> None:
    for number, image_id in enumerate(("a/1", "a/b/2", "c/3", "4")):
        await api.record(image_id, number, tags=("x",) if number < 2 else ())
    assert (await api.get("/api/folders")).json() == {"folders": ["a/", "c/"], "next": None}
    assert (await api.get("/api/folders?prefix=a/")).json()["folders"] == ["a/b/"]
    first = (await api.get("/api/folders?limit=1")).json()
    assert (await api.get(f"/api/folders?limit=1&cursor={first['next']}")).json() == {"folders": ["c/"], "next": None}
    assert (await api.get("/api/totals?tag=x&prefix=a/")).json()["images"] == 2
    assert (await api.get("/api/totals")).json()["images"] == 4


async def test_the_renditions_of_an_image_are_listed_and_purged_one_by_one(api: Caller) -> None:
    await api.record("a/1", 1)
    for canonical in ("width=40", "width=80"):
        key = RenditionKey("a/1", "1_1", canonical, "r1", "png")
        await api.rig.cache.put(key, Rendition(b"some bytes", "image/png", 40, 30))
    stored = (await api.get("/api/renditions/a/1")).json()["renditions"]
    assert {one["transform"] for one in stored} == {"width=40", "width=80"}
    assert {(one["bytes"], one["media_type"], one["width"], one["height"]) for one in stored} == {
        (10, "image/png", 40, 30)
    }
    assert all(one["made"] and one["used"] for one in stored)
    path = f"/api/renditions/a/1?name={quote(stored[0]['name'])}"
    assert [(await api.delete(path)).json()["renditions"] for _ in range(2)] == [1, 0]
    assert [one["name"] for one in (await api.get("/api/renditions/a/1")).json()["renditions"]] == [stored[1]["name"]]
    notices = await api.rig.catalog.notices.after(0)
    assert [(notice.kind, notice.image_id) for _, notice in notices][-1] == ("purged", "a/1")
    for name in ("..", "../../ledger.sqlite", "x", stored[1]["name"] + "/x"):
        answer = await api.delete(f"/api/renditions/a/1?name={quote(name, safe='')}")
        assert answer.json() == {"images": 0, "renditions": 0}
    assert (await api.get("/api/cache")).json()["disk"]["entries"] == 1
    assert (await api.get("/api/renditions/none")).json() == {"renditions": []}


async def test_renditions_that_failed_or_were_slow_are_listed_and_cleared(api: Caller) -> None:
    failed = RenderProblem("a.jpg", "width=100", "render_timeout", "It took too long.", 60.0, 2, START)
    await api.rig.catalog.renders.add([failed, replace(failed, code="slow", detail="", seconds=6.0)])
    listed = (await api.get("/api/problems/renders")).json()["renditions"]
    assert listed == [
        {
            "id": "a.jpg",
            "transform": "width=100",
            "code": "render_timeout",
            "detail": "It took too long.",
            "seconds": 60.0,
            "times": 2,
            "last": "2026-01-01T00:00:00Z",
        }
    ]
    slow = (await api.get("/api/problems/renders?slow=true")).json()["renditions"]
    assert [one["seconds"] for one in slow] == [6.0]
    assert (await api.delete("/api/problems/renders")).json() == {"cleared": 2}


async def test_renditions_of_all_images_are_listed_by_size_and_by_last_use(api: Caller) -> None:
    for name, size in (("a/1", 30), ("b", 10), ("a/2", 20)):
        await api.record(name, len(name))
        key = RenditionKey(name, "1_1", "width=1", "r1", "jpg")
        await api.rig.cache.put(key, Rendition(b"\xff\xd8\xff" + bytes(size), "image/jpeg", 1, 1))
    await api.rig.cache.put(
        RenditionKey("gone", "1_1", "width=1", "r1", "jpg"), Rendition(b"\xff\xd8\xff" + bytes(99), "image/jpeg", 1, 1)
    )
    by_size = (await api.get("/api/renditions")).json()["renditions"]
    assert [one["id"] for one in by_size] == [None, "a/1", "a/2", "b"]
    assert [one["rendition"]["bytes"] for one in by_size] == [102, 33, 23, 13]
    by_age = (await api.get("/api/renditions?sort=age&limit=2")).json()["renditions"]
    assert [one["id"] for one in by_age] == ["a/1", "b"]
