"""Images found: filters, order, pages, text, equal bytes, likeness. Both databases find the same."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from imgserve.catalog import ImageQuery, Sort, Totals, conditions, search
from imgserve.errors import BadCursor
from imgserve.model import ImageRecord, Origin
from tests.catalogs import START, Catalog, ids, opened, put, put_many, record

pytestmark = pytest.mark.anyio

SHELF = [
    record("shoes/red_shoe.jpg", 1, title="Crème shoe", tags=("red", "new arrival"), size=10, width=100, height=10),
    record("shoes/blue%.png", 2, format="png", tags=("blue",), alt="Ein Straßenschuh", size=30, width=20, height=20),
    record("shoes2/x.webp", 3, format="webp", tags=("Red",), description="red and blue", size=20, origin=Origin.UPLOAD),
    record("東京/タワー.jpg", 4, title="東京タワー 2026", size=20, width=300, height=3),
    record("\udcff/b.jpg", 5, tags=("%_", "x' OR '1'='1"), size=2**40),
]
BYTES = {"red": 10, "blue": 30, "x": 20, "tower": 20, "raw": 2**40}
NAMES = dict(zip(BYTES, (one.image_id for one in SHELF), strict=True))


@pytest.fixture(scope="module")
async def shelf(shared_address: str) -> AsyncIterator[Catalog]:
    """Fill one catalog for all queries."""
    async with opened(shared_address) as catalog:
        await put_many(catalog.images, SHELF)
        yield catalog


@pytest.fixture(params=[(4000, 5000), (0, 5000), (0, 1)], ids=["compared at once", "looked up", "compared"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search for what the first images have, for what few have, and for what many have."""
    compared, many = request.param
    monkeypatch.setattr(search, "_COMPARED", compared)
    monkeypatch.setattr(conditions, "_MANY", many)


async def found(shelf: Catalog, query: ImageQuery) -> set[str]:
    names = {image_id: name for name, image_id in NAMES.items()}
    page = await shelf.search.page(query)
    chosen = {names[one.image_id] for one in page.items}
    assert await shelf.search.totals(query) == Totals(len(chosen), sum(BYTES[name] for name in chosen))
    return chosen


def at(second: int) -> Any:
    return START + timedelta(seconds=second)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (ImageQuery(), "red blue x tower raw"),
        (ImageQuery(prefix="shoes/"), "red blue"),
        (ImageQuery(prefix="shoes"), "red blue x"),
        (ImageQuery(prefix="shoes%"), ""),
        (ImageQuery(prefix="shoes_"), ""),
        (ImageQuery(prefix="shoes/blue%"), "blue"),
        (ImageQuery(prefix="\udcff"), "raw"),
        (ImageQuery(prefix="東"), "tower"),
        (ImageQuery(prefix="Shoes"), ""),
        (ImageQuery(tags=("red",)), "red"),
        (ImageQuery(tags=(" red ",)), "red"),
        (ImageQuery(tags=("red", "new arrival")), "red"),
        (ImageQuery(tags=("red", "blue")), ""),
        (ImageQuery(tags=("%_",)), "raw"),
        (ImageQuery(tags=("%",)), ""),
        (ImageQuery(tags=("x' OR '1'='1",)), "raw"),
        (ImageQuery(tags=("\0\udcff",)), "red blue x tower raw"),
        (ImageQuery(formats=("png",)), "blue"),
        (ImageQuery(formats=("png", "webp", "\0", "' OR 1=1")), "blue x"),
        (ImageQuery(origin=Origin.UPLOAD), "x"),
        (ImageQuery(min_bytes=20), "blue x tower raw"),
        (ImageQuery(max_bytes=20), "red x tower"),
        (ImageQuery(min_bytes=20, max_bytes=20), "x tower"),
        (ImageQuery(min_bytes=-(10**30), max_bytes=10**30), "red blue x tower raw"),
        (ImageQuery(min_width=41), "red tower"),
        (ImageQuery(max_height=10), "red tower"),
        (ImageQuery(max_width=20, min_height=20), "blue"),
        (ImageQuery(created_from=at(4)), "tower raw"),
        (ImageQuery(created_before=at(4)), "red blue x"),
        (ImageQuery(changed_from=at(2), changed_before=at(3)), "blue"),
        (ImageQuery(prefix="shoes", text="red", formats=("webp",)), "x"),
    ],
    ids=repr,
)
@pytest.mark.usefixtures("_way")
async def test_a_filter_finds(shelf: Catalog, query: ImageQuery, names: str) -> None:
    assert await found(shelf, query) == set(names.split())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("red", "red x"),
        ("RED", "red x"),
        ("shoe", "red blue x"),
        ("creme", "red"),
        ("CRÈME", "red"),
        ("cre\u0300m", "red"),
        ("strassen", "blue"),
        ("straße", "blue"),
        ("arrival new", "red"),
        ("red creme jpg", "red"),
        ("red blue", "x"),
        ("blu re", "x"),
        ("hoe", ""),
        ("京", "tower"),
        ("東京 2026", "tower"),
        ("  ", "red blue x tower raw"),
        ("%", ""),
        ("*", ""),
        ("\0", ""),
        ("red\0", "red x"),
        ("\udcff", ""),
        ('"red"', "red x"),
        ('"', ""),
        ("red OR blue", ""),
        ("red AND blue", "x"),
        ("red NOT blue", ""),
        ("NEAR(red blue)", ""),
        ("title:red", ""),
        ("^red", "red x"),
        ("red*", "red x"),
        ("red & !blue | (x)", "x"),
        ("'red':*", "red x"),
        ("\\", ""),
        ("red'); DROP TABLE images; --", ""),
        ("red " * 100_000, "red x"),
        ("z" * 1_000_000, ""),
    ],
    ids=lambda value: ascii(value)[:30],
)
@pytest.mark.usefixtures("_way")
async def test_a_text_finds(shelf: Catalog, text: str, names: str) -> None:
    assert await found(shelf, ImageQuery(text=text)) == set(names.split())


async def test_words_follow_what_changes(catalog: Catalog) -> None:
    await put(catalog.images, record("a", title="before", tags=("first",)))
    await catalog.images.change("a", {"title": "after", "tags": ("second",)})
    for text, number in (("before", 0), ("first", 0), ("after", 1), ("second", 1), ("after second", 1)):
        assert (await catalog.search.totals(ImageQuery(text=text))).images == number


async def test_the_values_of_metadata_are_searched_and_not_their_names(catalog: Catalog) -> None:
    nested = {"photographer": "Ann Lee", "more": {"camera": ["Leica", 35, True]}}
    await put(catalog.images, record("a", metadata=nested))
    for text, number in (("lee leica", 1), ("35", 1), ("photographer", 0), ("true", 0)):
        assert (await catalog.search.totals(ImageQuery(text=text))).images == number
    await catalog.images.change("a", {"metadata": {"photographer": "Bob"}})
    assert (await catalog.search.totals(ImageQuery(text="lee"))).images == 0


async def test_a_very_long_text_is_recorded_and_found_by_its_beginning(catalog: Catalog) -> None:
    text = "".join(chr(0x4E00 + number % 20_000) for number in range(300_000)) + " x" * 500_000
    await put(catalog.images, record("a", description=text, title="y" * 1_000_000, tags=tuple("abcdefgh")))
    assert (await catalog.search.totals(ImageQuery(text="y" * 90))).images == 1
    assert (await catalog.images.get_many(["a"]))["a"].description == text


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", Sort)
async def test_pages_put_together_are_the_whole_list_in_order(catalog: Catalog, sort: Sort, descending: bool) -> None:
    records = [record(f"{n % 3}/{n}\udcff", n // 4, size=n % 5, width=n % 4, height=2) for n in range(25)]
    await put_many(catalog.images, records)
    keys: dict[Sort, Any] = {
        Sort.CREATED: lambda one: one.created, Sort.CHANGED: lambda one: one.changed, Sort.ID: lambda _: 0,
        Sort.BYTES: lambda one: one.size, Sort.PIXELS: lambda one: one.width,
    }  # fmt: skip
    records.sort(key=lambda one: (keys[sort](one), one.image_id.encode("utf-8", "surrogateescape")), reverse=descending)
    assert await walked(catalog, sort, descending, 7) == records


async def walked(catalog: Catalog, sort: Sort, descending: bool, limit: int) -> list[ImageRecord]:
    page = await catalog.search.page(sort=sort, descending=descending, limit=limit)
    records = list(page.items)
    while page.cursor:
        page = await catalog.search.page(sort=sort, descending=descending, limit=limit, cursor=page.cursor)
        assert page.items
        records += page.items
    return records


async def test_a_page_goes_on_where_it_was_though_images_come_and_go(catalog: Catalog) -> None:
    await put_many(catalog.images, [record(str(n), n) for n in range(6)])
    page = await catalog.search.page(limit=2)
    await put_many(catalog.images, [record("newer", 9), record("older", -1)])
    await catalog.images.delete(["4", "2"])
    rest = await catalog.search.page(limit=9, cursor=page.cursor)
    assert (ids(page.items), ids(rest.items)) == (["5", "4"], ["3", "1", "0", "older"])


async def test_a_cursor_of_another_order_is_refused(catalog: Catalog) -> None:
    await put_many(catalog.images, SHELF)
    cursor = (await catalog.search.page(limit=1)).cursor
    with pytest.raises(BadCursor, match="another order"):
        await catalog.search.page(sort=Sort.ID, cursor=cursor)
    with pytest.raises(BadCursor):
        await catalog.search.page(cursor="nonsense")
    with pytest.raises(BadCursor):
        await catalog.search.duplicates(cursor=cursor)


@pytest.mark.parametrize(("limit", "number"), [(-5, 1), (0, 1), (3, 3), (10**30, 5)])
async def test_a_limit_is_brought_within_bounds(catalog: Catalog, limit: int, number: int) -> None:
    await put_many(catalog.images, SHELF)
    assert len((await catalog.search.page(limit=limit)).items) == number
    assert len((await catalog.search.duplicates(limit=limit)).items) == 0
    assert len(await catalog.search.similar(0, limit=limit)) == 0


async def test_equal_bytes_are_found_in_groups_page_by_page(catalog: Catalog) -> None:
    digests = {name: f"{number:064x}" for number, name in enumerate(["aa", "b", "ccc", "dd"])}
    records = [record(f"{name}{n}", sha256=digests[name]) for name in digests for n in range(len(name))]
    await put_many(catalog.images, records)
    first = await catalog.search.duplicates(limit=2)
    rest = await catalog.search.duplicates(limit=2, cursor=first.cursor)
    assert [ids(group) for group in first.items + rest.items] == [
        ["aa0", "aa1"],
        ["ccc0", "ccc1", "ccc2"],
        ["dd0", "dd1"],
    ]
    assert rest.cursor is None
    assert ids(await catalog.search.by_sha256([digests["aa"]])) == ["aa0", "aa1"]


async def test_what_looks_alike_is_found_the_most_alike_first(catalog: Catalog) -> None:
    full = 2**64 - 1
    hashes = {"same": full, "one": full - 1, "high": full >> 1, "three": full - 7, "none": None, "other": 0}
    await put_many(catalog.images, [record(name, perceptual_hash=value) for name, value in hashes.items()])
    near = await catalog.search.similar(full, distance=3)
    assert [(one.record.image_id, one.distance) for one in near] == [("same", 0), ("high", 1), ("one", 1), ("three", 3)]
    assert [one.distance for one in await catalog.search.similar(0, distance=64)] == [0, 61, 63, 63, 64]
    assert len(await catalog.search.similar(full, distance=64, limit=2)) == 2


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", Sort)
async def test_pages_of_a_search_go_on_where_nothing_more_is_compared(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, sort: Sort, *, descending: bool
) -> None:
    await put_many(catalog.images, [record(f"{n}", n, title="red" if n % 3 else "blue", size=n) for n in range(30)])
    monkeypatch.setattr(search, "_COMPARED", 5)
    pages, cursor = list[str](), None
    while cursor or not pages:
        query = ImageQuery(text="red")
        page = await catalog.search.page(query, sort=sort, descending=descending, limit=3, cursor=cursor)
        pages, cursor = pages + ids(page.items), page.cursor
    whole = await catalog.search.page(sort=sort, descending=descending)
    assert pages == ids(one for one in whole.items if one.title == "red")


@pytest.mark.parametrize("distance", [0, 3, 4, 7, 10, 11, 12])
async def test_every_hash_within_a_distance_is_found_wherever_it_differs(catalog: Catalog, distance: int) -> None:
    chance = random.Random(distance)
    given = chance.getrandbits(64)
    flips = [sum(1 << bit for bit in chance.sample(range(64), chance.randrange(15))) for _ in range(60)]
    await put_many(catalog.images, [record(f"{n}", perceptual_hash=given ^ flip) for n, flip in enumerate(flips)])
    found = await catalog.search.similar(given, distance=distance, limit=100)
    expected = {f"{n}": flip.bit_count() for n, flip in enumerate(flips) if flip.bit_count() <= distance}
    assert {one.record.image_id: one.distance for one in found} == expected


async def test_tags_are_counted_the_most_used_first(catalog: Catalog) -> None:
    await put_many(catalog.images, [record("a", tags=("x", "y")), record("b", tags=("y", "Z")), record("c")])
    assert list((await catalog.search.tag_counts()).items()) == [("y", 2), ("Z", 1), ("x", 1)]
    assert await catalog.search.tag_counts(1) == {"y": 2}


IN_FOLDERS = (
    "a.jpg",
    "b/1",
    "b/c/2",
    "b/c/d/3",
    "b.jpg",
    "b0",
    "c/1",
    "\udcff/1",
    "\udcff\udcff/1",
    "ü/x/1",
    "b/ü.jpg",
)


@pytest.mark.parametrize(
    ("prefix", "folders"),
    [
        ("", ["b/", "c/", "ü/", "\udcff/", "\udcff\udcff/"]),
        ("b/", ["b/c/"]),
        ("b", ["b/"]),
        ("b/c/", ["b/c/d/"]),
        ("\udcff", ["\udcff/", "\udcff\udcff/"]),
        ("ü", ["ü/"]),
        ("a.jpg", []),
        ("none/", []),
        ("\ud800", []),
    ],
)
async def test_folders_are_listed_below_a_prefix_page_by_page(
    catalog: Catalog, prefix: str, folders: list[str]
) -> None:
    await put_many(catalog.images, map(record, IN_FOLDERS))
    page = await catalog.search.folders(prefix)
    assert (list(page.items), page.cursor) == (folders, None)
    found, cursor = list[str](), None
    for _ in folders:
        page = await catalog.search.folders(prefix, limit=1, cursor=cursor)
        found, cursor = [*found, *page.items], page.cursor
    assert (found, cursor) == (folders, None)
