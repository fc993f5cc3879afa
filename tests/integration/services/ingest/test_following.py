"""Other processes follow what one has changed; and what is kept for a time only goes."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imgserve.catalog import Notices
from imgserve.errors import CatalogUnavailable
from imgserve.model import FocalPoint
from imgserve.services.ingest import Following
from tests.house import until
from tests.ingests import House, house, picture

pytestmark = pytest.mark.anyio


def following(home: House, forgotten: list[str], *, disk: bool = False) -> Following:
    notices, published = home.catalog.notices, home.door.published
    return Following(notices, home.cache, forget=forgotten.append, is_own=published, disk=disk)


async def test_a_process_forgets_what_another_changed_and_nothing_of_its_own(tmp_path: Path, address: str) -> None:
    async with house(tmp_path, address) as one, house(tmp_path, address) as other:
        mine, theirs = list[str](), list[str]()
        here, there = following(one, mine), following(other, theirs)
        await one.upload(picture(), "before.png")
        assert [await here.catch_up(), await there.catch_up()] == [0, 0]
        await one.upload(picture(1), "a.png")
        key = await other.render("a.png")
        await other.cache.get(key)
        await one.door.change("a.png", {"focal_point": FocalPoint(0, 0)})
        assert (await here.catch_up(), mine) == (0, [])
        assert (await there.catch_up(), theirs) == (2, ["a.png", "a.png"])
        assert other.cache.at_hand(key) is None
        await other.render("a.png")
        await one.door.purge_all()
        assert await there.catch_up() == 1
        assert (await other.cache.stats())["memory"].entries == 0


async def test_a_node_with_a_folder_of_its_own_purges_it(tmp_path: Path, address: str) -> None:
    (tmp_path / "other").mkdir()
    async with house(tmp_path, address) as one, house(tmp_path / "other", address) as other:
        there = following(other, [], disk=True)
        await there.catch_up()
        other.put("a.png", picture())
        other.put("b.png", picture())
        keys = [await other.render("a.png"), await other.render("b.png")]
        await one.door.purge(["a.png"])
        await there.catch_up()
        assert [await other.cache.get(key) is None for key in keys] == [True, False]
        await one.door.purge_all()
        await there.catch_up()
        assert await other.cache.get(keys[1]) is None


async def test_a_follower_goes_on_when_the_catalog_is_back(
    home: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forgotten = list[str]()
    monkeypatch.setattr("imgserve.services.ingest.following._EVERY", 0.01)
    follower = Following(home.catalog.notices, home.cache, forget=forgotten.append, is_own=lambda _: False)
    await follower.catch_up()
    with monkeypatch.context() as patched:

        async def gone(*_: object) -> None:
            raise CatalogUnavailable

        patched.setattr(Notices, "after", gone)
        running = asyncio.create_task(follower.run())
        await home.upload(picture(), "a.png")
        await asyncio.sleep(0.1)
        assert forgotten == []
    await until(lambda: bool(forgotten))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert forgotten == ["a.png"]
    assert caplog.text.count("cannot read what other processes changed") == 1


async def test_what_is_kept_for_a_time_only_is_removed_when_the_time_is_over(tmp_path: Path, address: str) -> None:
    moment = [datetime.now(UTC)]
    async with house(tmp_path, address, trash_seconds=60, clock=lambda: moment[0]) as home:
        for number in range(2):
            await home.upload(picture(number), f"{number}.png")
            await home.door.delete(f"{number}.png")
        assert await home.catalog.idempotency.begin("k", "f") is None
        await home.door.tidy()
        assert len(await home.door.trash()) == 2
        assert len(await home.catalog.notices.after(0)) == 4
        moment[0] += timedelta(days=2)
        await home.door.tidy()
        assert await home.door.trash() == []
        assert len(await home.catalog.notices.after(0)) == 1
        assert await home.catalog.idempotency.begin("k", "g") is None
