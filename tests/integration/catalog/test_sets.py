"""Many images tagged, untagged and deleted at once."""

from datetime import timedelta

import pytest

from imgserve.catalog import ImageQuery, Selection
from tests.catalogs import START, Catalog, put, put_many, record

pytestmark = pytest.mark.anyio

LATER = START + timedelta(days=1)


@pytest.mark.parametrize(
    "selection",
    [
        ["a/1", "a/2", "absent", "\ud800", "a/1"],
        ImageQuery(prefix="a/"),
        ImageQuery(text="chosen"),
        ImageQuery(tags=("in",)),
    ],
    ids=["ids", "prefix", "text", "tag"],
)
async def test_a_selection_is_tagged_and_untagged(catalog: Catalog, selection: Selection) -> None:
    chosen = [record(f"a/{n}", title="chosen", tags=("in", "Ünder")) for n in (1, 2)]
    await put_many(catalog.images, [*chosen, record("b", tags=("other",))])
    assert await catalog.images.retag(selection, add=["new one", "in", " "], at=LATER) == 2
    assert await catalog.images.retag(selection, add=["new one"], at=LATER) == 0
    assert await catalog.images.retag(selection, remove=["Ünder", "absent"], at=LATER) == 2
    found = await catalog.images.get("a/2")
    assert found is not None
    assert (found.tags, found.changed) == (("in", "new one"), LATER)
    assert await catalog.images.get("b") == record("b", tags=("other",))
    assert (await catalog.search.totals(ImageQuery(text="new one"))).images == 2
    assert (await catalog.search.totals(ImageQuery(text="under"))).images == 0


async def test_a_tag_is_taken_by_the_query_that_names_it(catalog: Catalog) -> None:
    await put_many(catalog.images, [record("a", tags=("x", "y")), record("b", tags=("x",)), record("c", tags=("y",))])
    assert await catalog.images.retag(ImageQuery(tags=("x",)), remove=["x", "y"]) == 2
    assert await catalog.search.tag_counts() == {"y": 1}
    assert (await catalog.search.totals(ImageQuery(text="x"))).images == 0


async def test_no_tags_change_nothing(catalog: Catalog) -> None:
    await put(catalog.images, record("a", tags=("x",)))
    assert await catalog.images.retag(["a"], add=["", "\0"]) == await catalog.images.retag(["a"], remove=[]) == 0
    assert await catalog.images.get("a") == record("a", tags=("x",))


async def test_deleting_reports_what_was_there(catalog: Catalog) -> None:
    await put_many(catalog.images, [record(name, tags=("x",)) for name in ("a", "b\udcff", "c")])
    assert await catalog.images.delete(["b\udcff", "absent", "a"]) == ["a", "b\udcff"]
    assert await catalog.images.delete(ImageQuery(tags=("x",))) == ["c"]
    assert await catalog.search.tag_counts() == {}


async def test_more_than_a_statement_takes_is_changed_at_once(catalog: Catalog) -> None:
    names = [f"n{number}" for number in range(12_000)]
    await put_many(catalog.images, (record(name) for name in names))
    assert await catalog.images.retag(names, add=["x", "y"]) == 12_000
    assert await catalog.search.tag_counts() == {"x": 12_000, "y": 12_000}
    assert len(await catalog.images.get_many(names)) == 12_000
    assert await catalog.images.retag(ImageQuery(text="y"), remove=["x"]) == 12_000
    assert len(await catalog.images.delete(names)) == 12_000
