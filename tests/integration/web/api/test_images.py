"""Records as callers of the API find, read and change them."""

import json
import os

import pytest

from imgserve.formats import FORMATS
from imgserve.http.headers import api_path
from imgserve.model import FocalPoint
from tests.api_rig import Caller

pytestmark = pytest.mark.anyio
ODD = os.fsdecode(b"odd \xff/p\xc3\xbcrge")


async def ids(api: Caller, query: str = "") -> list[str]:
    answer = await api.get(f"/api/images{query}")
    assert answer.status_code == 200, answer.text
    return [image["id"] for image in answer.json()["images"]]


async def test_a_record_is_reported_with_every_field_of_the_contract(api: Caller) -> None:
    record = await api.record("a/b.png", title="T", tags=("x", "y"), focal_point=FocalPoint(0.25, 1))
    answer = await api.get("/api/images/a/b.png")
    told = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert " ".join(told) == (
        "id version url sha256 format media_type width height frames bytes alpha color_space dominant_color palette "
        "blurhash thumbhash perceptual_hash faces title alt description tags metadata focal_point "
        "origin who created changed"
    )
    assert (told["id"], told["url"], told["media_type"]) == ("a/b.png", "/img/a/b.png", "image/png")
    assert (told["width"], told["height"], told["bytes"]) == (40, 30, record.size)
    assert (told["tags"], told["focal_point"], told["version"]) == (["x", "y"], {"x": 0.25, "y": 1.0}, record.version)
    assert len(told["perceptual_hash"]) == 16
    assert told["created"].endswith("Z")


@pytest.mark.parametrize("path", ["odd%20%FF/p%C3%BCrge", "odd%20%ff%2Fp%C3%BCrge"])
async def test_an_id_of_any_bytes_is_reached_in_any_spelling(api: Caller, path: str) -> None:
    await api.record(ODD)
    told = (await api.get(f"/api/images/{path}")).json()
    assert told["id"] == ODD
    assert told["url"] == "/img/odd%20%FF/p%C3%BCrge"


ACTIONS = ("purge", "transform", "similar", "convert/png")


async def test_an_id_that_ends_like_an_action_is_an_id_like_any_other(api: Caller) -> None:
    for number, action in enumerate(ACTIONS):
        for image_id in (action, f"a/{action}", f"b/{action}/c", f"c/{action}/purge"):
            await api.record(image_id, number)
            for path in (f"/api/images/{image_id}", api_path(image_id)):
                assert (await api.get(path)).json()["id"] == image_id
                assert (await api.patch(path, json={"title": "x"})).status_code == 200
                assert (await api.get(f"{path}?x=1")).json()["code"] == "bad_request"
            assert (await api.get(f"/api/similar/{image_id}")).status_code == 200
            assert (await api.post(f"/api/purge/{image_id}")).json() == {"images": 1, "renditions": 0}
            assert (await api.delete(f"/api/images/{image_id}")).json()["deleted"][0]["id"] == image_id


@pytest.mark.parametrize(
    ("method", "old", "new"),
    [
        ("GET", "a/similar?distance=3", "similar/a?distance=3"),
        ("HEAD", "a/similar", "similar/a"),
        ("GET", "a%2Fb/%FF/convert/png?w=1", "convert/png/a%2Fb/%FF?w=1"),
        ("POST", "a/purge", "purge/a"),
        ("POST", "a/purge/transform", "transform/a/purge"),
    ],
)
async def test_an_action_at_its_old_address_redirects_to_the_new_one(
    api: Caller, method: str, old: str, new: str
) -> None:
    answer = await api.ask(method, f"/api/images/{old}")
    assert (answer.status_code, answer.headers["location"]) == (308, f"/api/{new}")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "a/purge", 404),
        ("GET", "a%2Fsimilar", 404),
        ("GET", "similar", 404),
        ("PATCH", "a/similar", 404),
        ("DELETE", "a/convert/png", 404),
        ("POST", "a%2Fpurge", 405),
        ("POST", "a", 405),
    ],
)
async def test_nothing_else_redirects(api: Caller, method: str, target: str, status: int) -> None:
    options = {"json": {"title": "x"}} if method == "PATCH" else {}
    assert (await api.ask(method, f"/api/images/{target}", **options)).status_code == status


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_image_that_is_not_there_is_a_problem_that_nobody_caches(api: Caller, method: str) -> None:
    answer = await api.ask(method, "/api/images/none", **({"json": {"title": "x"}} if method == "PATCH" else {}))
    assert (answer.status_code, answer.json()["code"]) == (404, "image_not_found")
    assert answer.headers["cache-control"] == "no-store"


async def test_images_are_found_by_every_filter(api: Caller) -> None:
    await api.record("a/1", title="Röd sko", tags=("shoe", "red"))
    await api.record("a/2", 1, tags=("shoe",))
    await api.record("b/1", 2)
    assert await ids(api, "?prefix=a/&sort=id") == ["a/1", "a/2"]
    assert await ids(api, "?tag=shoe&tag=red") == ["a/1"]
    assert await ids(api, "?q=rod") == ["a/1"]
    assert await ids(api, "?q=&sort=id") == ["a/1", "a/2", "b/1"]
    assert await ids(api, "?format=jpg&format=webp") == []
    assert await ids(api, "?format=jpg&format=png&sort=id&order=desc") == ["b/1", "a/2", "a/1"]
    assert await ids(api, "?origin=watch&min_width=40&max_height=30&min_bytes=1&sort=id&limit=2") == ["a/1", "a/2"]
    assert await ids(api, "?created_before=2020-01-01T00:00:00Z") == []
    assert len(await ids(api, "?changed_from=2020-01-01T00:00:00%2B02:00")) == 3


async def test_pages_follow_each_other_until_none_is_left(api: Caller) -> None:
    for number in range(5):
        await api.record(f"{number}", number)
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"/api/images?limit=2&sort=id{cursor and '&cursor=' + cursor}")).json()
        seen += [image["id"] for image in page["images"]]
        cursor = page["next"]
    assert seen == ["0", "1", "2", "3", "4"]
    wrong = await api.get("/api/images?sort=bytes&cursor=nonsense")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_cursor")


async def test_every_mistake_of_a_query_is_reported_at_once(api: Caller) -> None:
    answer = await api.get("/api/images?limit=0&min_width=-1&formt=jpg&sort=size&created_from=yesterday&format=doc")
    assert answer.status_code == 400
    assert answer.json()["mistakes"] == [
        f'format.0: expected one of {", ".join(FORMATS)}, but received "doc"',
        "min_width: expected at least 0, but received -1",
        'created_from: expected a time such as 2026-01-31T12:00:00Z, but received "yesterday"',
        'sort: expected created, changed, id, bytes or pixels, but received "size"',
        "limit: expected at least 1, but received 0",
        'formt: there is no such name here, did you mean "format"?',
    ]


async def test_a_change_takes_what_it_says_and_leaves_the_rest(api: Caller) -> None:
    before = await api.record("a", title="Old", alt="Alt", tags=("x",), metadata={"a": 1, "b": {"c": 1, "d": 2}})
    answer = await api.patch(
        "/api/images/a",
        json={"title": "New", "alt": None, "metadata": {"a": None, "b": {"c": 3}}, "focal_point": {"x": 0, "y": 1}},
    )
    told = answer.json()
    assert (told["title"], told["alt"], told["tags"]) == ("New", "", ["x"])
    assert told["metadata"] == {"b": {"c": 3, "d": 2}}
    assert told["version"] != before.version
    cleared = (await api.patch("/api/images/a", json={"focal_point": None, "tags": None, "metadata": None})).json()
    assert (cleared["focal_point"], cleared["tags"], cleared["metadata"]) == (None, [], {})
    assert cleared["version"] == before.version


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        ({}, "expected something to change: title, alt, description, tags, metadata, focal_point"),
        ({"titel": "x"}, 'titel: there is no such name here, did you mean "title"?'),
        ({"tags": "x"}, 'tags: expected a list, but received "x"'),
        ({"focal_point": {"x": 2}}, "focal_point.x: expected at most 1, but received 2"),
        ({"focal_point": {"x": 1}}, "focal_point.y: is missing"),
        ({"version": "1"}, "version: there is no such name here"),
        ([], "expected an object, but received a list of 0"),
    ],
)
async def test_a_change_that_cannot_be_is_refused(api: Caller, body: object, mistake: str) -> None:
    await api.record("a", title="Old")
    answer = await api.patch("/api/images/a", json=body)
    assert answer.status_code == 400
    assert mistake in answer.json()["mistakes"]
    assert (await api.get("/api/images/a")).json()["title"] == "Old"


def nested(levels: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("metadata", "mistake"),
    [
        (nested(33), "expected JSON of at most 32 levels"),
        (nested(300), "expected JSON of at most 32 levels"),
        ({"a": [[[nested(30)]]]}, "expected JSON of at most 32 levels"),
        ({"a": "\ud800"}, "expected JSON of Unicode text and finite numbers"),
        ({"\ud800": 1}, "expected JSON of Unicode text and finite numbers"),
        ({"a": 1e999}, "expected JSON of Unicode text and finite numbers"),
        ({"a": "x" * 65_536}, "expected at most 65536 characters of JSON"),
    ],
)
async def test_metadata_that_could_not_be_reported_again_are_refused(
    api: Caller, metadata: dict[str, object], mistake: str
) -> None:
    await api.record("a")
    body = json.dumps({"metadata": metadata}).replace("Infinity", "1e999").encode()
    answer = await api.patch("/api/images/a", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (400, f"metadata: {mistake}, but received an object")
    assert (await api.patch("/api/images/a", json={"metadata": nested(32)})).status_code == 200
    assert await ids(api) == ["a"]


async def test_metadata_do_not_grow_without_end(api: Caller) -> None:
    await api.record("a")
    first = await api.patch("/api/images/a", json={"metadata": {"a": "x" * 40_000}})
    second = await api.patch("/api/images/a", json={"metadata": {"b": "x" * 40_000}})
    assert (first.status_code, second.status_code) == (200, 400)
    assert second.json()["mistakes"] == ["metadata: expected at most 65536 characters of JSON after the change"]
    assert (await api.patch("/api/images/a", json={"metadata": {"a": None, "b": "x" * 40_000}})).status_code == 200


async def test_a_change_is_made_only_to_the_record_that_it_names(api: Caller) -> None:
    await api.record("a", title="Old")
    tag = (await api.get("/api/images/a")).headers["etag"]
    first = await api.patch("/api/images/a", json={"title": "First"}, headers={"if-match": tag})
    late = await api.patch("/api/images/a", json={"title": "Late"}, headers={"if-match": tag})
    assert (first.status_code, late.status_code, late.json()["code"]) == (200, 412, "precondition_failed")
    assert (await api.delete("/api/images/a", headers={"if-match": tag})).status_code == 412
    assert (await api.delete("/api/images/a", headers={"if-match": first.headers["etag"]})).status_code == 200


async def test_a_deleted_image_can_be_had_back(api: Caller) -> None:
    await api.record("a/b", title="T")
    (deleted,) = (await api.delete("/api/images/a/b")).json()["deleted"]
    assert deleted["id"] == "a/b"
    assert not (api.rig.root / "a/b").exists()
    (item,) = (await api.get("/api/trash")).json()["items"]
    assert (item["item"], item["id"], item["until"]) == (deleted["trash_item"], "a/b", pytest.approx(item["until"]))
    restored = await api.post(f"/api/trash/{item['item']}/restore")
    assert (restored.status_code, restored.json()["title"]) == (200, "T")
    assert (api.rig.root / "a/b").exists()


async def test_what_looks_alike_and_what_is_the_same_is_found(api: Caller) -> None:
    await api.record("a", 1)
    await api.record("b", 1)
    await api.record("c", 2)
    similar = (await api.get("/api/similar/a?distance=20")).json()["images"]
    assert [one["image"]["id"] for one in similar][:1] == ["b"]
    assert similar[0]["distance"] == 0
    groups = (await api.get("/api/duplicates")).json()["groups"]
    assert [[one["id"] for one in group] for group in groups] == [["a", "b"]]


async def test_the_tags_in_use_are_counted(api: Caller) -> None:
    await api.record("a", 1, tags=("x", "y"))
    await api.record("b", 2, tags=("y",))
    assert (await api.get("/api/tags")).json() == {"tags": [{"tag": "y", "images": 2}, {"tag": "x", "images": 1}]}
