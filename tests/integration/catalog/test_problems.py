"""Problems put, got, listed and forgotten."""

from dataclasses import replace
from datetime import timedelta

import pytest

from imgserve.errors import BadCursor, BadRequest
from imgserve.records import FileProblem
from tests.catalogs import START, Catalog

pytestmark = pytest.mark.anyio


def problem(image_id: str, code: str = "unreadable_image", version: str = "1_1", second: int = 0) -> FileProblem:
    return FileProblem(image_id, code, "It is damaged \0here.", START + timedelta(seconds=second), version)


def kept(given: FileProblem) -> FileProblem:
    return replace(given, detail="It is damaged here.")


@pytest.mark.parametrize("image_id", ["a b/ü%_'.txt", "\udcff/\udc80.jpg", "x" * 2000])
async def test_a_problem_comes_back_as_it_was_put(catalog: Catalog, image_id: str) -> None:
    await catalog.problems.put_many([problem(image_id)])
    assert await catalog.problems.get(image_id) == kept(problem(image_id))
    assert await catalog.problems.versions() == {image_id: "1_1"}
    assert await catalog.problems.count() == 1
    assert await catalog.problems.forget([image_id, "absent"]) == 1
    assert await catalog.problems.get(image_id) is None


async def test_the_same_trouble_met_again_began_when_it_was_first_met(catalog: Catalog) -> None:
    await catalog.problems.put_many([problem("a", second=1)])
    await catalog.problems.put_many([problem("a", second=5, version="2_2")])
    assert await catalog.problems.get("a") == kept(problem("a", second=1, version="2_2"))
    await catalog.problems.put_many([problem("a", "limit_exceeded", second=9)])
    assert await catalog.problems.get("a") == kept(problem("a", "limit_exceeded", second=9))


async def test_problems_are_listed_piece_by_piece_below_a_prefix(catalog: Catalog) -> None:
    names = ["a/1", "a/2", "a/\udcff", "b/1"]
    await catalog.problems.put_many(problem(name) for name in [*names, "a/1"])
    first = await catalog.problems.page("a/", limit=2)
    assert first.cursor is not None
    second = await catalog.problems.page("a/", limit=2, cursor=first.cursor)
    assert [one.image_id for one in (*first.items, *second.items)] == names[:3]
    assert second.cursor is None
    assert list(await catalog.problems.versions("a/", "a/1", 1)) == ["a/2"]
    assert set(await catalog.problems.get_many(names)) == set(names)


async def test_what_cannot_be_stored_is_refused_or_not_there(catalog: Catalog) -> None:
    with pytest.raises(BadRequest):
        await catalog.problems.put_many([problem("\ud800")])
    with pytest.raises(BadCursor):
        await catalog.problems.page(cursor="x")
    assert await catalog.problems.get("\ud800") is None
    assert await catalog.problems.versions("\ud800") == {}
    assert (await catalog.problems.page("\ud800")).items == ()
    await catalog.problems.put_many([])
    assert await catalog.problems.get_many([]) == {}
    assert await catalog.problems.forget([]) == 0
