"""Records decided within the transaction that writes them; and what a picture asks the catalog."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from imgserve.catalog import ImageQuery, Merge, Merged
from imgserve.errors import BadRequest
from imgserve.model import Face, FocalPoint, Focus, ImageRecord
from tests.catalogs import START, Catalog, opened, outcome, put, put_many, record

pytestmark = pytest.mark.anyio


async def test_a_merge_sees_what_is_there_and_keeps_when_it_came(catalog: Catalog) -> None:
    await put(catalog.images, record("a", title="old"))
    new = record("b", second=3)

    def merge(before: ImageRecord | None) -> ImageRecord | None:
        later = START + timedelta(seconds=9)
        return new if before is None else replace(before, title=before.title + "er", created=later, changed=later)

    merged = await catalog.images.merge_many({"a": merge, "b": merge, "c": lambda before: before})
    assert merged["b"] == Merged(None, new)
    assert merged["c"] == Merged(None, None)
    assert outcome(merged["a"]) == "changed"
    assert merged["a"].record == await catalog.images.get("a")
    assert merged["a"].record == record("a", title="older", changed=START + timedelta(seconds=9))


async def test_a_merge_that_decides_nothing_or_the_same_changes_nothing(catalog: Catalog) -> None:
    await put_many(catalog.images, [record("a"), record("b")])
    same = record("b", second=9)
    merged = await catalog.images.merge_many({"a": lambda _: None, "b": lambda _: same})
    assert {outcome(one) for one in merged.values()} == {"unchanged"}
    assert merged["b"].record == await catalog.images.get("b") == record("b")
    assert await catalog.images.merge_many({}) == {}
    with pytest.raises(BadRequest):
        await catalog.images.merge_many({"\ud800": lambda _: None})


async def test_merges_of_the_same_images_at_once_lose_none(address: str) -> None:
    def adding(image_id: str, tag: str) -> Merge:
        return lambda before: replace(before or record(image_id), tags=(*(before.tags if before else ()), tag))

    async with opened(address) as catalog:
        names = [f"{n}" for n in range(20)]
        merges = [{name: adding(name, f"t{n}") for name in names} for n in range(8)]
        await asyncio.gather(*map(catalog.images.merge_many, merges))
        found = await catalog.images.get_many(names)
        assert {one.tags for one in found.values()} == {tuple(f"t{n}" for n in range(8))}


async def test_what_crops_show_of_an_image_is_one_look_up(catalog: Catalog) -> None:
    faces = (Face(0.1, 0.2, 0.3, 0.4),)
    focused = record("a", focal_point=FocalPoint(0, 1), faces=faces, version="1f_9_abc")
    await put_many(catalog.images, [focused, record("b", version="1_2")])
    assert await catalog.images.focus("a") == Focus(FocalPoint(0, 1), faces, "1f_9")
    expected = [Focus(version="1_2"), Focus(), Focus()]
    assert [await catalog.images.focus(name) for name in ("b", "absent", "\ud800")] == expected


async def test_the_versions_of_some_images_are_reported(catalog: Catalog) -> None:
    await put_many(catalog.images, [record("a", version="2_2"), record("b")])
    assert await catalog.images.versions_of(["a", "b", "c", "\ud800"]) == {"a": "2_2", "b": "1_1"}
    assert await catalog.images.versions_of([]) == {}


async def test_the_ids_of_a_query_are_reported_piece_by_piece(catalog: Catalog) -> None:
    await put_many(catalog.images, [record(name, tags=("x",)) for name in ("a/2", "a/1", "a/\udcff")] + [record("a/3")])
    query = ImageQuery(tags=("x",))
    assert await catalog.search.ids(query, limit=2) == ["a/1", "a/2"]
    assert await catalog.search.ids(query, after="a/2") == ["a/\udcff"]
    assert await catalog.search.ids(after="\ud800") == []


async def test_tags_are_given_and_taken_in_one_change(catalog: Catalog) -> None:
    await put_many(catalog.images, [record("a", tags=("x",)), record("b", tags=("y",)), record("c", tags=("x", "y"))])
    assert await catalog.images.retag(ImageQuery(tags=("x",)), add=["y", "z"], remove=["x", "z"]) == 2
    found = await catalog.images.get_many(["a", "b", "c"])
    assert [found[name].tags for name in "abc"] == [("y", "z"), ("y",), ("y", "z")]
    assert await catalog.images.retag(["a", "c"], add=["y"], remove=["x"]) == 0
