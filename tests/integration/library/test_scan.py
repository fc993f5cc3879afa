"""Scans: what is known costs nothing, what is new goes in batches, nothing is lost."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from imgserve.catalog import Merge, Merged
from imgserve.errors import CatalogUnavailable
from imgserve.library.inspect import Recording
from tests.library_rig import Rig, later, picture

pytestmark = pytest.mark.anyio


async def test_many_new_files_share_transactions_and_the_second_scan_reads_none(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(160):
        rig.put(f"{number % 7}/{number}.png", picture(number))
    rig.put("notes.txt", b"text")
    batches, merge_many = list[int](), rig.catalog.images.merge_many

    async def counted(merges: Mapping[str, Merge]) -> dict[str, Merged]:
        batches.append(len(merges))
        return await merge_many(merges)

    monkeypatch.setattr(rig.catalog.images, "merge_many", counted)
    first = await rig.scan()
    assert sorted(first.values()) == ["created"] * 160 + ["problem"]
    assert sum(batches) == 160
    assert len(batches) < 60
    assert set((await rig.scan()).values()) == {"unchanged", "problem"}
    assert len(rig.inspected) == 160
    assert len(rig.ear.recorded) == 160
    assert len(rig.ingest.locks) == 0


async def test_a_scan_finds_what_came_went_and_changed(rig: Rig) -> None:
    for name in ("stays.png", "goes.png", "changes.png", "bad.txt"):
        rig.put(name, picture(len(name)) if name != "bad.txt" else b"text")
    await rig.scan()
    await later()
    (rig.root / "goes.png").unlink()
    (rig.root / "bad.txt").unlink()
    rig.put("changes.png", picture(100))
    rig.put("comes.png", picture(101))
    assert await rig.scan() == {"changes.png": "replaced", "comes.png": "created", "stays.png": "unchanged"}
    assert sorted(await rig.known()) == ["changes.png", "comes.png", "stays.png"]


async def test_a_scan_beside_uploads_loses_nothing(rig: Rig) -> None:
    for number in range(40):
        rig.put(f"{number}.png", picture(number))
    uploads = [rig.upload(picture(100 + number), f"{number}.png", replace=True) for number in range(0, 40, 4)]
    await asyncio.gather(rig.scan(), *uploads)
    await rig.scan()
    assert set((await rig.scan()).values()) == {"unchanged"}
    records = await rig.catalog.images.get_many([f"{number}.png" for number in range(40)])
    assert {one.version for one in records.values()} == {one.version for one in rig.walked()}


async def test_a_scan_without_a_catalog_fails_and_the_next_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(120):
        rig.put(f"{number:03}.png", picture(number))
    calls, merge_many = list[int](), rig.catalog.images.merge_many

    async def failing(merges: Any) -> dict[str, Merged]:
        calls.append(len(merges))
        if len(calls) == 2:
            raise CatalogUnavailable
        return await merge_many(merges)

    monkeypatch.setattr(rig.catalog.images, "merge_many", failing)
    with pytest.raises(CatalogUnavailable):
        await rig.scan()
    known = len(await rig.known())
    assert 0 < known < 120
    assert list((await rig.scan()).values()).count("created") == 120 - known
    assert len(rig.ingest.locks) == 0


async def test_files_that_cannot_be_reported_now_are_reported_to_be_tried_later(rig: Rig) -> None:
    rig.put("a.png", picture())
    walked = rig.walked()
    await later()
    rig.put("a.png", picture(1))
    rig.put("gone.png", picture(2))
    (both := rig.walked()).sort(key=lambda one: one.image_id)
    (rig.root / "gone.png").unlink()
    found = await rig.ingest.record_many([*walked, both[1]])
    assert {one.image_id: one.outcome for one in found} == {"a.png": Recording.CREATED, "gone.png": Recording.GONE}
