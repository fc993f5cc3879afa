"""Counts of usage in the catalog, and the watch that stores them."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imgserve.access.abuse import AbuseWatch, Finished
from imgserve.catalog import Database, Usage
from imgserve.records import UsageCount
from tests.catalogs import START, Catalog

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
RENDERED = Finished("render", "2001:db8::1", b"https://Shop.example/a?key=x", "ü.jpg", "", "", "r1", b"/img/a", 100)


async def test_counts_are_added_up_over_the_hours(catalog: Catalog) -> None:
    await catalog.usage.add({("forbidden", "client", "a"): 2, ("forbidden", "client", "b"): 9}, at=START)
    await catalog.usage.add({("unauthorized", "client", "a"): 5, ("cold", "client", "a"): 99}, at=START + HOUR)
    await catalog.usage.add({("unauthorized", "client", "a"): 3}, at=START + HOUR)
    what = ("forbidden", "unauthorized")
    first, second = await catalog.usage.top(what, "client", since=START + HOUR / 2)
    assert first == UsageCount("a", 10, {"forbidden": 2, "unauthorized": 8})
    assert second == UsageCount("b", 9, {"forbidden": 9})
    assert await catalog.usage.top(what, "client", since=START, limit=1) == [first]
    assert await catalog.usage.top(what, "client", since=START + HOUR) == [UsageCount("a", 8, {"unauthorized": 8})]
    assert await catalog.usage.top(what, "image", since=START) == []


async def test_old_hours_are_pruned(catalog: Catalog) -> None:
    await catalog.usage.add({("cold", "image", "a"): 1}, at=START)
    await catalog.usage.add({("cold", "image", "b"): 1}, at=START + HOUR)
    assert await catalog.usage.prune(START + HOUR * 1.5) == 1
    assert [one.subject for one in await catalog.usage.top(["cold"], "image", since=START)] == ["b"]


async def test_rows_of_an_hour_are_bounded_and_the_largest_stay(catalog: Catalog) -> None:
    many = {("cold", "client", f"c{number}"): number + 1 for number in range(7000)}
    await catalog.usage.add({**many, ("cold", "image", "a"): 1}, at=START)
    found = await catalog.usage.top(["cold"], "client", since=START, limit=7000)
    assert (len(found), found[0].subject, found[-1].subject) == (100, "c6999", "c6900")
    assert len(await catalog.usage.top(["cold"], "image", since=START)) == 1


async def test_several_processes_count_together(catalog: Catalog) -> None:
    counts = {("cold", "client", f"c{number}"): 1 for number in range(20)}
    await asyncio.gather(*(catalog.usage.add(counts, at=START) for _ in range(5)))
    assert {one.number for one in await catalog.usage.top(["cold"], "client", since=START)} == {5}


async def test_a_watch_counts_by_client_referrer_and_image(catalog: Catalog) -> None:
    watch, since = AbuseWatch(catalog.usage), datetime.now(UTC) - HOUR
    watch.note(RENDERED)
    watch.note(replace(RENDERED, outcome="memory", client="2001:db8::2"))
    watch.note(replace(RENDERED, outcome="image_not_found", image_id="", sent=7))
    watch.note(replace(RENDERED, outcome="unauthorized", image_id="", referrer=b"", sent=50))
    await watch.flush()
    await watch.flush()
    client = "2001:db8::/64"
    for by, subject in (("client", client), ("referrer", "shop.example"), ("image", "ü.jpg")):
        assert await catalog.usage.top(["cold"], by, since=since) == [UsageCount(subject, 1, {"cold": 1})]
    assert await catalog.usage.top(["bytes"], "client", since=since) == [UsageCount(client, 250, {"bytes": 250})]
    rejected = await catalog.usage.top(["unauthorized"], "client", since=since)
    assert rejected == [UsageCount(client, 1, {"unauthorized": 1})]


async def test_without_the_catalog_counts_stay_for_later(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    absent = Database(f"sqlite:///{tmp_path}/file/catalog.sqlite")
    usage = Usage(absent)
    watch = AbuseWatch(usage)
    watch.note(RENDERED)
    await watch.flush()
    await absent.close()
    usage.database = catalog.database
    watch.note(RENDERED)
    await watch.flush()
    (found,) = await catalog.usage.top(["cold"], "image", since=datetime.now(UTC) - HOUR)
    assert found.number == 2
