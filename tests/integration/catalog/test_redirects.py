"""Redirects of moved images: found until their time, followed to the last id, ended by a new image."""

from datetime import timedelta

import pytest

from imgserve.errors import BadRequest
from tests.catalogs import START, Catalog, put, record

pytestmark = pytest.mark.anyio

LATER = START + timedelta(days=30)


@pytest.mark.parametrize("image_id", ["a b/ü%_'.jpg", "\udcff/\udc80.jpg", "x" * 2000])
async def test_a_redirect_is_found_until_its_time(catalog: Catalog, image_id: str) -> None:
    await catalog.redirects.add(image_id, "new.jpg", LATER)
    assert await catalog.redirects.targets([image_id, "new.jpg", "\ud800"], at=START) == {image_id: "new.jpg"}
    assert await catalog.redirects.targets([image_id], at=LATER) == {}
    assert await catalog.redirects.prune(LATER - timedelta(seconds=1)) == 0
    assert await catalog.redirects.prune(LATER) == 1
    assert await catalog.redirects.prune(LATER) == 0


async def test_the_last_redirect_of_an_id_counts_and_only_that_one_is_removed(catalog: Catalog) -> None:
    await catalog.redirects.add("a", "b", START)
    await catalog.redirects.add("a", "c", LATER)
    await catalog.redirects.remove("a", "b")
    assert await catalog.redirects.targets(["a"], at=START) == {"a": "c"}
    await catalog.redirects.remove("a", "c")
    assert await catalog.redirects.targets(["a"], at=START) == {}


async def test_redirects_follow_the_record_so_that_no_chain_arises(catalog: Catalog) -> None:
    await put(catalog.images, record("c"))
    for old, new in (("a", "c"), ("b", "c"), ("c", "d"), ("e", "f")):
        await catalog.redirects.add(old, new, LATER)
    await catalog.images.change("c", {"image_id": "d"})
    expected = {"a": "d", "b": "d", "c": "d", "e": "f"}
    assert await catalog.redirects.targets("abcdef", at=START) == expected
    await catalog.redirects.add("d", "a", LATER)
    await catalog.images.change("d", {"image_id": "a"})
    assert await catalog.redirects.targets("abcdef", at=START) == {"b": "a", "c": "a", "d": "a", "e": "f"}


async def test_a_redirect_can_be_ended(catalog: Catalog) -> None:
    for old in "abc":
        await catalog.redirects.add(old, "new", LATER)
    await catalog.redirects.end(["a", "c", "absent"])
    await catalog.redirects.end([])
    assert await catalog.redirects.targets("abc", at=START) == {"b": "new"}


async def test_an_id_that_cannot_be_stored_is_refused(catalog: Catalog) -> None:
    for old, new in (("\ud800", "a"), ("a", "x" * 2001)):
        with pytest.raises(BadRequest):
            await catalog.redirects.add(old, new, LATER)
