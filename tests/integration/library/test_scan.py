"""Scans: what is known costs nothing, what is new goes in batches, nothing is lost."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from imgserve.catalog import Merge, Merged
from imgserve.errors import CatalogUnavailable
from imgserve.library.results import Recording
from tests.ingests import House, later, picture

pytestmark = pytest.mark.anyio


async def test_many_new_files_share_transactions_and_the_second_scan_reads_none(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(160):
        home.put(f"{number % 7}/{number}.png", picture(number))
    home.put("notes.txt", b"text")
    batches, merge_many = list[int](), home.catalog.images.merge_many

    async def counted(merges: Mapping[str, Merge]) -> dict[str, Merged]:
        batches.append(len(merges))
        return await merge_many(merges)

    monkeypatch.setattr(home.catalog.images, "merge_many", counted)
    first = await home.scan()
    assert sorted(first.values()) == ["created"] * 160 + ["problem"]
    assert sum(batches) == 160
    assert len(batches) < 60
    assert set((await home.scan()).values()) == {"unchanged", "problem"}
    assert len(home.inspected) == 160
    assert len(home.ear.recorded) == 160
    assert len(home.door.locks) == 0


async def test_a_scan_finds_what_came_went_and_changed(home: House) -> None:
    for name in ("stays.png", "goes.png", "changes.png", "bad.txt"):
        home.put(name, picture(len(name)) if name != "bad.txt" else b"text")
    await home.scan()
    await later()
    (home.root / "goes.png").unlink()
    (home.root / "bad.txt").unlink()
    home.put("changes.png", picture(100))
    home.put("comes.png", picture(101))
    assert await home.scan() == {"changes.png": "replaced", "comes.png": "created", "stays.png": "unchanged"}
    assert sorted(await home.known()) == ["changes.png", "comes.png", "stays.png"]


async def test_a_scan_beside_uploads_loses_nothing(home: House) -> None:
    for number in range(40):
        home.put(f"{number}.png", picture(number))
    uploads = [home.upload(picture(100 + number), f"{number}.png", replace=True) for number in range(0, 40, 4)]
    await asyncio.gather(home.scan(), *uploads)
    await home.scan()
    assert set((await home.scan()).values()) == {"unchanged"}
    records = await home.catalog.images.get_many([f"{number}.png" for number in range(40)])
    assert {one.version for one in records.values()} == {one.version for one in home.walked()}


async def test_a_scan_without_a_catalog_fails_and_the_next_goes_on(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(120):
        home.put(f"{number:03}.png", picture(number))
    calls, merge_many = list[int](), home.catalog.images.merge_many

    async def failing(merges: Any) -> dict[str, Merged]:
        calls.append(len(merges))
        if len(calls) == 2:
            raise CatalogUnavailable
        return await merge_many(merges)

    monkeypatch.setattr(home.catalog.images, "merge_many", failing)
    with pytest.raises(CatalogUnavailable):
        await home.scan()
    known = len(await home.known())
    assert 0 < known < 120
    assert list((await home.scan()).values()).count("created") == 120 - known
    assert len(home.door.locks) == 0


async def test_files_that_cannot_be_told_now_are_told_to_be_tried_later(home: House) -> None:
    home.put("a.png", picture())
    walked = home.walked()
    await later()
    home.put("a.png", picture(1))
    home.put("gone.png", picture(2))
    (both := home.walked()).sort(key=lambda one: one.image_id)
    (home.root / "gone.png").unlink()
    found = await home.door.record_many([*walked, both[1]])
    assert {one.image_id: one.outcome for one in found} == {"a.png": Recording.CREATED, "gone.png": Recording.GONE}
