"""Popular renditions are encoded again, once, and only where that saves bytes."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import pyvips

from imgserve.cache import KeyLocks, RenditionKey
from imgserve.formats import FORMATS
from imgserve.images.demand import DemandEncoder, Hits
from imgserve.images.resolve import RenditionRequest
from imgserve.model import Rendition
from imgserve.rendering.admission import Admission
from imgserve.rendering.wire import ProcessLimits
from imgserve.rendering.workers import Workers
from imgserve.transform import normalize, parse_query
from tests.pictures import encoded, noise
from tests.rendition_rig import PATIENCE, Rig, opened

PHOTOGRAPH = encoded(noise(400, 300).gaussblur(3), "jpg", Q=95)


@dataclass
class Demand:
    """A demand encoder whose hits a test decides."""

    rig: Rig
    encoder: DemandEncoder
    hits: list[Hits] = field(default_factory=list)

    async def look(self, request: RenditionRequest, crc32: int, number: int) -> None:
        self.hits.append(Hits(request, crc32, number))
        await self.encoder.look()

    def result(self, name: str) -> float:
        return self.rig.figure("demand_renders_total", result=name)


@contextlib.asynccontextmanager
async def demanded(
    place: Path, disk: int = 10**7, *, idle: bool = False, seconds: float = PATIENCE
) -> AsyncIterator[Demand]:
    async with opened(place, disk=disk) as rig:
        admission, limits = Admission(1, waiting=0, waiting_megapixels=1), ProcessLimits(idle=idle)
        workers = Workers(1, admission, time_limit=seconds, process_limits=limits, metrics=rig.metrics)
        hits = list[Hits]()

        def take() -> list[Hits]:
            taken, hits[:] = list(hits), []
            return taken

        encoder = DemandEncoder(
            rig.renditions,
            rig.cache,
            workers,
            locks=KeyLocks(None, PATIENCE),
            metrics=rig.metrics,
            take_hits=take,
        )
        try:
            yield Demand(rig, encoder, hits)
        finally:
            await encoder.close()


def requested(rig: Rig, query: str, data: bytes = PHOTOGRAPH) -> RenditionRequest:
    original = rig.put("a.jpg", data)
    parsed = parse_query(query)
    transform = normalize(parsed.transform, original.format, FORMATS[parsed.transform.format or "jpg"])
    return RenditionRequest(original, transform, rig.renditions.key(original, transform), parsed)


async def first(rig: Rig, request: RenditionRequest) -> Rendition:
    return (await rig.renditions.make(request.original, request.transform, request.key)).rendition


async def stored(rig: Rig, key: RenditionKey) -> Rendition:
    found = await rig.renditions.cached(key)
    assert found is not None
    return found.rendition


def run(work: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(work())


@pytest.mark.parametrize(("query", "pays"), [("width=300", 10), ("width=300&format=webp", 25), ("format=avif", 50)])
def test_a_popular_rendition_is_replaced_by_a_smaller_one_of_the_same_picture(
    tmp_path: Path, query: str, pays: int
) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as demand:
            request = requested(demand.rig, query)
            before = await first(demand.rig, request)
            await demand.look(request, before.crc32, pays - 1)
            assert (await stored(demand.rig, request.key)).data == before.data
            await demand.look(request, before.crc32, 1)
            after = await stored(demand.rig, request.key)
            assert len(after.data) < 0.98 * len(before.data)
            assert (after.width, after.height, after.media_type) == (before.width, before.height, before.media_type)
            assert demand.result("ok") == 1
            assert demand.encoder.is_outdated(request.key.tag, before.crc32)
            assert not demand.encoder.is_outdated(request.key.tag, after.crc32)
            if query == "width=300":
                assert pyvips.Image.new_from_buffer(after.data, "").get("interlaced")
            await demand.look(request, after.crc32, 7)
            saved = 7 * (len(before.data) - len(after.data))
            assert demand.rig.figure("demand_saved_bytes_total", format=request.key.extension) == saved
            assert demand.result("ok") == 1

    run(work)


@pytest.mark.parametrize("query", ["width=300&progressive=1", "format=png", "format=webp&lossless=1", "format=gif"])
def test_a_rendition_without_an_effort_to_add_is_not_encoded_again(tmp_path: Path, query: str) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as demand:
            request = requested(demand.rig, query)
            before = await first(demand.rig, request)
            await demand.look(request, before.crc32, 1000)
            assert (await stored(demand.rig, request.key)).data == before.data
            assert not demand.encoder.is_outdated(request.key.tag, before.crc32)

    run(work)


def test_popular_renditions_are_encoded_where_a_core_has_nothing_else_to_do(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path, idle=True) as demand:
            request = requested(demand.rig, "format=avif&quality=80", encoded(noise(3000, 2000), "jpg"))
            before = await first(demand.rig, request)
            clients = set(psutil.Process().children())
            improving = asyncio.create_task(demand.look(request, before.crc32, 50))
            while not (again := set(psutil.Process().children()) - clients):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            # A process that is starting does not have its policy yet.
            while {os.sched_getscheduler(one.pid) for one in again} != {os.SCHED_IDLE}:
                assert not improving.done()
                await asyncio.sleep(0.01)
            assert {os.sched_getscheduler(one.pid) for one in clients} == {os.SCHED_OTHER}
            improving.cancel()

    run(work)


def test_a_rendition_that_does_not_become_smaller_is_tried_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as demand:
            request = requested(demand.rig, "width=1&format=avif")
            before = await first(demand.rig, request)
            for _ in range(3):
                await demand.look(request, before.crc32, 100)
            assert (await stored(demand.rig, request.key)).data == before.data
            assert (demand.result("no_gain"), demand.result("ok")) == (1, 0)

    run(work)


def test_hits_are_counted_across_processes_and_restarts(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as demand:
            request = requested(demand.rig, "width=300")
            before = await first(demand.rig, request)
            await demand.look(request, before.crc32, 6)
        async with demanded(tmp_path) as here, demanded(tmp_path) as there:
            old = await stored(there.rig, request.key)
            assert await stored(here.rig, request.key) == old
            await here.look(request, before.crc32, 4)
            new = await stored(here.rig, request.key)
            assert new != old
            assert await stored(there.rig, request.key) == old
            await there.look(request, before.crc32, 1)
            assert await stored(there.rig, request.key) == new
            assert (here.result("ok"), there.result("ok")) == (1, 0)

    run(work)


def test_a_purged_rendition_begins_anew(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as demand:
            request = requested(demand.rig, "width=300")
            before = await first(demand.rig, request)
            await demand.look(request, before.crc32, 10)
            await demand.rig.cache.purge(request.original.image_id)
            assert (await first(demand.rig, request)).data == before.data
            await demand.look(request, before.crc32, 9)
            assert demand.result("ok") == 1
            await demand.look(request, before.crc32, 1)
            assert demand.result("ok") == 2

    run(work)


def test_a_process_that_has_the_second_encoding_in_memory_alone_does_not_encode_it_over_and_over(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as here, demanded(tmp_path) as there:
            request = requested(there.rig, "width=300")
            before = await first(there.rig, request)
            await there.look(request, before.crc32, 10)
            again = await stored(there.rig, request.key)
            await here.rig.cache.purge(request.original.image_id)
            assert await first(here.rig, request) == before
            assert await stored(there.rig, request.key) == again
            for _ in range(2):
                await there.look(request, again.crc32, 10)
            assert (there.result("no_gain"), there.result("ok")) == (0, 2)
            assert await stored(there.rig, request.key) == again

    run(work)


def test_the_tag_of_a_rendition_that_begins_anew_is_not_outdated(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as demand:
            request = requested(demand.rig, "width=300")
            before = await first(demand.rig, request)
            await demand.look(request, before.crc32, 10)
            assert demand.encoder.is_outdated(request.key.tag, before.crc32)
            await demand.rig.cache.purge(request.original.image_id)
            assert await first(demand.rig, request) == before
            await demand.look(request, before.crc32, 1)
            assert not demand.encoder.is_outdated(request.key.tag, before.crc32)

    run(work)


def test_a_rendition_that_is_purged_while_it_is_encoded_again_does_not_come_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as demand:
            request = requested(demand.rig, "format=avif", encoded(noise(1200, 900), "jpg"))
            before, clients = await first(demand.rig, request), set(psutil.Process().children())
            improving = asyncio.create_task(demand.look(request, before.crc32, 50))
            while not set(psutil.Process().children()) - clients:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert await demand.rig.cache.purge(request.original.image_id) == 1
            assert not improving.done()
            await improving
            assert await demand.rig.renditions.cached(request.key) is None
            assert not list(tmp_path.rglob("*.avif"))
            assert demand.result("not_kept") == 1

    run(work)


def test_a_rendition_that_cannot_be_stored_is_encoded_again_once_and_stays_everywhere(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as demand:
            request = requested(demand.rig, "width=300")
            before = await first(demand.rig, request)
            (temporary,) = (tmp_path / ".cache").rglob(".tmp")
            temporary.rmdir()
            temporary.touch()
            for _ in range(3):
                await demand.look(request, before.crc32, 10)
            assert demand.rig.figure("demand_renders_total", result="not_kept") == 1
            assert (demand.result("ok"), demand.result("no_gain")) == (0, 0)
            assert (await stored(demand.rig, request.key)).data == before.data
            assert not demand.encoder.is_outdated(request.key.tag, before.crc32)

    run(work)


def test_a_rendition_that_was_made_while_the_disk_was_full_is_stored_when_it_is_requested_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as demand:
            (temporary := tmp_path / ".cache" / ".tmp").parent.mkdir()
            temporary.touch()
            request = requested(demand.rig, "width=300")
            before = await first(demand.rig, request)
            await demand.look(request, before.crc32, 10)
            assert not list(tmp_path.rglob("*.jpg"))[1:]
            temporary.unlink()
            await demand.look(request, before.crc32, 1)
            await demand.look(request, before.crc32, 10)
            assert demand.result("ok") == 1

    run(work)


def test_a_rendition_whose_original_cannot_be_read_now_may_be_encoded_again_later(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as demand:
            request = requested(demand.rig, "width=300")
            before = await first(demand.rig, request)
            await demand.encoder.close()
            await demand.look(request, before.crc32, 10)
            assert demand.result("unavailable") == 1
        async with demanded(tmp_path) as demand:
            await demand.look(request, before.crc32, 1)
            assert demand.result("ok") == 1

    run(work)


def test_an_original_that_was_replaced_leaves_the_rendition_as_it_is(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path) as demand:
            request = requested(demand.rig, "width=300")
            before = await first(demand.rig, request)
            demand.rig.put("a.jpg", encoded(noise(500, 300), "jpg"), age=120)
            await demand.look(request, before.crc32, 10)
            assert (await stored(demand.rig, request.key)).data == before.data
            assert demand.result("original_changed") == 1

    run(work)


def test_a_rendition_for_which_the_machine_had_no_time_may_be_encoded_again_later(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path, seconds=0.001) as demand:
            request = requested(demand.rig, "width=300")
            before = await first(demand.rig, request)
            for _ in range(3):
                await demand.look(request, before.crc32, 10)
            assert demand.result("render_timeout") == 1
        async with demanded(tmp_path) as demand:
            await demand.look(request, before.crc32, 1)
            assert demand.result("ok") == 1

    run(work)


def test_without_a_disk_tier_nothing_is_counted(tmp_path: Path) -> None:
    async def work() -> None:
        async with demanded(tmp_path, disk=0) as demand:
            request = requested(demand.rig, "width=300")
            before = await first(demand.rig, request)
            await demand.look(request, before.crc32, 100)
            assert (await stored(demand.rig, request.key)).data == before.data

    run(work)
