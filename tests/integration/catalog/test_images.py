"""Records put, got, changed, renamed and deleted."""

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgserve.catalog import ImageQuery, Sort
from imgserve.errors import BadRequest, ImageExists, ImageNotFound
from imgserve.model import Face, FocalPoint, ImageRecord, Origin
from tests.catalogs import START, Catalog, ids, put, put_many, record

pytestmark = pytest.mark.anyio

ODD_IDS = [
    "a b/ü%_'\"[x].jpg",
    "\udcff/\udc80.jpg",
    "a\0b",
    "-x",
    "\U0001f600.png",
    "x" * 2000,
    "'; DROP TABLE images; --",
]
FULL: dict[str, Any] = {
    "frames": 7, "alpha": True, "color_space": "srgb", "perceptual_hash": 2**64 - 1, "dominant_color": "#a0b1c2",
    "palette": ("#a0b1c2", "#000000"), "blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
    "thumbhash": bytes(range(25)), "faces": (Face(0.5, 0.25, 0.5, 0.1),),
    "title": "Crème \U0001f600", "alt": "'\"\\;--", "description": "a\nb\tc" * 1000,
    "tags": ("b", "a", "Ä/%_'"), "metadata": {"a": ["\0", "\ud800", None, 1.5, {"b": "ü"}]}, "who": "key 1",
    "focal_point": FocalPoint(0.1, 1), "origin": Origin.IMPORT, "size": 2**40, "width": 2**31, "height": 2**31,
}  # fmt: skip


async def test_a_record_comes_back_as_it_was_put(catalog: Catalog) -> None:
    full = record("full.jpg", second=7, **FULL)
    assert await put(catalog.images, full) == "added"
    assert await catalog.images.get("full.jpg") == full


@pytest.mark.parametrize("image_id", ODD_IDS, ids=range(len(ODD_IDS)))
async def test_any_file_name_can_be_an_id(catalog: Catalog, image_id: str) -> None:
    await put(catalog.images, record(image_id))
    await put(catalog.images, record("another"))
    found = await catalog.images.get(image_id)
    assert found is not None
    assert found.image_id == image_id
    assert await catalog.images.versions(image_id) == {image_id: "1_1"}
    assert ids((await catalog.search.page(ImageQuery(prefix=image_id), sort=Sort.ID)).items) == [image_id]
    assert await catalog.images.delete([image_id])


@pytest.mark.parametrize("image_id", ["\ud800", "x" * 2001])
async def test_what_cannot_be_an_id_is_refused_or_not_there(catalog: Catalog, image_id: str) -> None:
    with pytest.raises(BadRequest):
        await put(catalog.images, replace(record("a"), image_id=image_id))
    assert await catalog.images.get(image_id) is None
    assert not await catalog.images.delete([image_id])
    assert await catalog.images.delete([image_id]) == []
    assert await catalog.images.versions(image_id) == {}
    assert (await catalog.search.page(ImageQuery(prefix=image_id))).items == ()


async def test_putting_the_same_again_changes_nothing(catalog: Catalog) -> None:
    await put(catalog.images, record("a", tags=("x",)))
    assert await put(catalog.images, record("a", second=9, tags=("x",))) == "unchanged"
    assert await catalog.images.get("a") == record("a", tags=("x",))


@pytest.mark.parametrize("field", sorted(FULL))
async def test_putting_another_value_changes_it_and_keeps_the_time_of_creation(catalog: Catalog, field: str) -> None:
    await put(catalog.images, record("a"))
    wanted = record("a", second=9, **{field: FULL[field]})
    assert await put(catalog.images, wanted) == "changed"
    assert await catalog.images.get("a") == replace(wanted, created=START)


async def test_only_what_differs_is_written(catalog: Catalog) -> None:
    await put(catalog.images, record("a", title="one"))
    await catalog.images.change("a", {"title": "two"}, at=START + timedelta(seconds=1))
    after = await catalog.images.change("a", {"tags": ("x",), "title": "two"}, at=START + timedelta(seconds=2))
    assert after == await catalog.images.get("a")
    assert (after.title, after.tags, after.created) == ("two", ("x",), START)
    unchanged = await catalog.images.change("a", {"title": "two"}, at=START + timedelta(seconds=3))
    assert unchanged.changed == START + timedelta(seconds=2)


async def test_many_are_put_and_got_with_few_statements(catalog: Catalog) -> None:
    records = [record(f"{number}", tags=("x", f"t{number}")) for number in range(2500)]
    assert set((await put_many(catalog.images, records)).values()) == {"added"}
    assert set((await put_many(catalog.images, records[:10])).values()) == {"unchanged"}
    found = await catalog.images.get_many([*(one.image_id for one in records), "absent"])
    assert found == {one.image_id: one for one in records}


async def test_of_equal_ids_the_last_counts(catalog: Catalog) -> None:
    await put_many(catalog.images, [record("a", title="one"), record("b"), record("a", title="two")])
    assert ((await catalog.images.get_many(["a", "a"]))["a"]).title == "two"


async def test_nothing_requested_is_nothing_done(catalog: Catalog) -> None:
    assert await put_many(catalog.images, []) == {}
    assert await catalog.images.get_many([]) == {}
    assert await catalog.images.delete([]) == []


async def test_a_renamed_image_keeps_everything_and_is_found_by_its_new_name(catalog: Catalog) -> None:
    await put(catalog.images, record("old/name.jpg", tags=("x",)))
    await catalog.images.change("old/name.jpg", {"image_id": "new/word.jpg"}, at=START)
    assert await catalog.images.get("old/name.jpg") is None
    wanted = replace(record("old/name.jpg", tags=("x",)), image_id="new/word.jpg")
    assert (await catalog.search.page(ImageQuery(text="word", tags=("x",)))).items == (wanted,)
    assert (await catalog.search.page(ImageQuery(text="name"))).items == ()


async def test_a_name_that_is_taken_is_refused_and_nothing_changes(catalog: Catalog) -> None:
    await put_many(catalog.images, [record("a", title="one"), record("b", title="two")])
    with pytest.raises(ImageExists):
        await catalog.images.change("a", {"image_id": "b"})
    assert [one.title for one in (await catalog.images.get_many(["a", "b"])).values()] in (
        ["one", "two"],
        ["two", "one"],
    )
    assert (await catalog.images.change("a", {"image_id": "a"})).title == "one"
    with pytest.raises(BadRequest):
        await catalog.images.change("a", {"image_id": "x" * 2001})


async def test_what_is_not_there_cannot_be_changed_or_renamed(catalog: Catalog) -> None:
    for image_id in ("absent", "\ud800"):
        with pytest.raises(ImageNotFound):
            await catalog.images.change(image_id, {"title": "x"})
        with pytest.raises(ImageNotFound):
            await catalog.images.change(image_id, {"image_id": "b"})
        assert not await catalog.images.delete([image_id])


async def test_a_deleted_image_leaves_nothing(catalog: Catalog) -> None:
    await put(catalog.images, record("a", tags=("x",), title="word"))
    assert await catalog.images.delete(["a"])
    assert await catalog.search.tag_counts() == {}
    assert (await catalog.search.page(ImageQuery(text="word"))).items == ()
    await put(catalog.images, record("a"))
    assert await catalog.images.get("a") == record("a")


async def test_versions_are_reported_in_the_order_of_ids_piece_by_piece(catalog: Catalog) -> None:
    names = ["a/1", "a/2", "a/\udcff", "a/é", "b/1"]
    await put_many(catalog.images, [record(name, version=f"v{name[-1]!a}") for name in names])
    first = await catalog.images.versions("a/", limit=2)
    rest = await catalog.images.versions("a/", after=list(first)[-1])
    assert [*first, *rest] == ["a/1", "a/2", "a/é", "a/\udcff"]
    assert list(await catalog.images.versions()) == ["a/1", "a/2", "a/é", "a/\udcff", "b/1"]


TEXT = st.text(max_size=20)
RECORDS = st.builds(
    lambda stored, **fields: record(os.fsdecode(stored), **fields),
    st.binary(max_size=20),
    title=TEXT, alt=TEXT, description=TEXT, who=TEXT, tags=st.lists(TEXT, max_size=4),
    perceptual_hash=st.none() | st.integers(0, 2**64 - 1), thumbhash=st.binary(max_size=30),
    size=st.integers(0, 2**62), focal_point=st.none() | st.builds(FocalPoint, st.floats(0, 1), st.floats(0, 1)),
    metadata=st.dictionaries(TEXT, TEXT | st.integers() | st.none() | st.lists(TEXT, max_size=2), max_size=3),
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(RECORDS, max_size=4))
async def test_whatever_is_put_comes_back(catalog: Catalog, records: list[ImageRecord]) -> None:
    await catalog.images.delete(ImageQuery())
    await put_many(catalog.images, records)
    wanted = {one.image_id: one for one in records}
    assert await catalog.images.get_many(list(wanted)) == wanted
