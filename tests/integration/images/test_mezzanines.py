"""Several sizes of one original: decoded once, whoever asks when, and never at the price of a picture."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from imgserve.errors import RenderCrashed, UnreadableImage
from imgserve.images.renditions import Served
from imgserve.model import Original
from imgserve.transform import Transform
from tests.pictures import animation, encoded, noise
from tests.rendition_rig import LONG_YOUNG, Rig, deadly, opened, run, until
from tests.servers import rendering_processes, resume

ROOM = 10**9
LARGE = encoded(noise(2000, 1500), "jpg")
PLAIN_BYTES = 3 * 2000 * 1500 * 85 // 64
"""Of its mezzanine: the sum of four levels."""


def made_from(open_rig: Rig) -> tuple[float, float]:
    """Count the pictures made from originals and from mezzanines."""
    return tuple(open_rig.figure("renders_made_from_total", what=what) for what in ("original", "mezzanine"))  # type: ignore[return-value]  # two


def results(open_rig: Rig) -> dict[str, float]:
    """Count what became of mezzanines."""
    counted = {result: open_rig.figure("mezzanines_total", result=result) for result in ("kept", "not_kept", "none")}
    return {result: number for result, number in counted.items() if number}


def files(open_rig: Rig) -> list[Path]:
    """List the mezzanines, finished or not."""
    below = [path for path in (open_rig.place / ".cache").rglob("*") if path.is_file()]
    return [path for path in below if path.suffix == ".pixels" or ".tmp" in path.parts]


async def all_of(open_rig: Rig, original: Original, widths: list[int]) -> list[Served]:
    """Request several widths at once."""
    return list(await asyncio.gather(*(open_rig.make(original, width) for width in widths)))


def test_eight_sizes_of_a_cold_original_decode_it_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM, processes=2) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            served = await all_of(open_rig, original, [100, 200, 300, 400, 500, 600, 700, 800])
            assert [one.rendition.width for one in served] == [100, 200, 300, 400, 500, 600, 700, 800]
            assert made_from(open_rig) == (1, 7)
            assert (results(open_rig), len(files(open_rig))) == ({"kept": 1}, 1)
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            await open_rig.make(open_rig.put("a.jpg", LARGE, age=60), 900)
            await open_rig.make(original, 901)
            assert made_from(open_rig)[1] >= 1, "it is used after a restart"

    run(body)


def test_the_first_is_answered_before_its_mezzanine_is_kept(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            await open_rig.make(open_rig.put("a.jpg", LARGE), 100)
            assert results(open_rig) == {}
            await until(lambda: results(open_rig) == {"kept": 1})

    run(body)


def test_without_a_budget_everything_is_made_from_the_original(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=0) as open_rig:
            await all_of(open_rig, open_rig.put("a.jpg", LARGE), [100, 200])
            assert (made_from(open_rig), files(open_rig)) == ((2, 0), [])

    run(body)


@pytest.mark.parametrize("compact", [True, False])
def test_in_a_nearly_full_tier_mezzanines_are_compact(tmp_path: Path, compact: bool) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=6 * PLAIN_BYTES, compact=compact) as open_rig:
            for number in range(7):
                original = open_rig.put(f"{number}.jpg", LARGE)
                await open_rig.make(original, 100)
                await until(lambda number=number: results(open_rig) == {"kept": number + 1})  # type: ignore[misc]  # inferred
            sizes = sorted(path.stat().st_size for path in files(open_rig))
            small = [size for size in sizes if size < PLAIN_BYTES / 2]
            assert bool(small) is compact
            before = made_from(open_rig)
            transform = Transform(width=300, format="jpg")
            key = open_rig.renditions.key(original, transform)
            await open_rig.renditions.make(original, transform, key)
            assert made_from(open_rig) == (before[0], before[1] + 1)

    run(body)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("small.png", encoded(noise(300, 200), "png")),
        ("moving.gif", animation([(255, 0, 0), (0, 255, 0)], size=1300)),
        ("drawn.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="4000" height="4000"/>'),
    ],
)
def test_of_what_does_not_pay_no_mezzanine_is_made(tmp_path: Path, name: str, data: bytes) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put(name, data)
            served = await all_of(open_rig, original, [100, 200])
            assert [one.rendition.width for one in served] == [100, 200]
            assert made_from(open_rig) == (2, 0)
            await until(lambda: not open_rig.figure("rendering"))
            await until(lambda: files(open_rig) == [])

    run(body)


def test_of_an_original_that_may_still_be_written_nothing_is_kept(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM, render_settings=LONG_YOUNG) as open_rig:
            await all_of(open_rig, open_rig.put("a.jpg", LARGE, age=0), [100, 200])
            assert (made_from(open_rig), files(open_rig)) == ((2, 0), [])

    run(body)


def test_a_replaced_original_does_not_meet_the_mezzanine_of_its_former_version(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            await open_rig.make(open_rig.put("a.jpg", LARGE, age=60), 100)
            await until(lambda: results(open_rig) == {"kept": 1})
            other = open_rig.put("a.jpg", encoded(noise(2000, 1000), "jpg"), age=50)
            served = await open_rig.make(other, 200)
            assert (served.rendition.height, made_from(open_rig)) == (100, (2, 0))

    run(body)


def test_a_purge_takes_the_mezzanine_too(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            await all_of(open_rig, original, [100, 200])
            await open_rig.cache.purge(original.image_id)
            assert files(open_rig) == []
            await open_rig.make(original, 300)
            assert made_from(open_rig) == (2, 1)

    run(body)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"x" * path.stat().st_size)])
def test_a_mezzanine_that_is_gone_or_broken_costs_time_only(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            await open_rig.make(original, 100)
            await until(lambda: results(open_rig) == {"kept": 1})
            harm(files(open_rig)[0])
            assert (await open_rig.make(original, 200)).rendition.width == 200
            assert made_from(open_rig) == (2, 0)
            await open_rig.make(original, 300)
            await until(lambda: results(open_rig) == {"kept": 2})
            await open_rig.make(original, 400)
            assert made_from(open_rig)[1] >= 1, "it was made anew"

    run(body)


def test_those_who_wait_for_a_maker_that_fails_fail_too_and_none_hangs(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE[: len(LARGE) // 2])
            outcomes = await asyncio.gather(
                *(open_rig.make(original, width) for width in (100, 200, 300)), return_exceptions=True
            )
            assert [type(outcome) for outcome in outcomes] == [UnreadableImage] * 3
            assert files(open_rig) == []

    run(body)


def test_when_the_maker_s_client_leaves_the_queue_another_becomes_the_maker(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            busy = open_rig.put("b.jpg", encoded(noise(50, 50), "jpg"))
            (child,) = rendering_processes()
            child.suspend()
            first = asyncio.create_task(open_rig.make(busy, 10))
            await until(lambda: open_rig.figure("rendering") == 1)
            leaver = asyncio.create_task(open_rig.make(original, 100))
            await until(lambda: open_rig.figure("render_queue") == 1)
            stayers = asyncio.create_task(all_of(open_rig, original, [200, 300]))
            await anyio.sleep(0.1)
            leaver.cancel()
            await asyncio.gather(leaver, return_exceptions=True)
            resume(child)
            await first
            assert [one.rendition.width for one in await stayers] == [200, 300]
            assert made_from(open_rig) == (2, 1), "the small one and the new maker's; then from the mezzanine"

    run(body)


def test_a_process_that_dies_while_it_writes_a_mezzanine_costs_no_picture(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", encoded(noise(6000, 4000), "jpg"))
            first = asyncio.create_task(open_rig.make(original, 100))
            others = asyncio.create_task(all_of(open_rig, original, [200, 300]))
            assert (await first).rendition.width == 100
            for child in rendering_processes():
                child.kill()
            assert [one.rendition.width for one in await others] == [200, 300]
            await until(lambda: not open_rig.figure("rendering"))
            await until(lambda: not [path for path in files(open_rig) if ".tmp" in path.parts])

    run(body)


def test_a_mezzanine_prepared_ahead_serves_the_first_picture(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            assert await open_rig.renditions.prepare(original)
            await until(lambda: results(open_rig) == {"kept": 1})
            assert not await open_rig.renditions.prepare(original)
            await open_rig.make(original, 100)
            assert made_from(open_rig) == (0, 1)
            small = open_rig.put("small.png", encoded(noise(30, 20), "png"))
            assert not await open_rig.renditions.prepare(small)
            with pytest.raises(UnreadableImage):
                await open_rig.renditions.prepare(open_rig.put("torn.jpg", LARGE[:3000]))
            assert len(files(open_rig)) == 1

    run(body)


def test_a_picture_that_its_mezzanine_cannot_serve_is_made_from_the_original_beside_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            profile = Transform(width=400, profile="origin", format="png")
            served = await open_rig.renditions.make(original, profile, open_rig.renditions.key(original, profile))
            await until(lambda: not open_rig.figure("rendering"))
            assert (served.rendition.width, made_from(open_rig), results(open_rig)) == (400, (1, 0), {})

    run(body)


def test_the_same_original_crashing_twice_leaves_no_file(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            with deadly(), pytest.raises(RenderCrashed):
                await open_rig.make(open_rig.put("a.jpg", LARGE), 100)
            assert open_rig.figure("render_process_deaths_total", reason="crash") == 2
            await until(lambda: results(open_rig) == {"none": 1})
            assert files(open_rig) == []


def test_the_end_while_mezzanines_are_written_leaves_no_file_and_reports_no_loss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            await open_rig.make(open_rig.put("a.jpg", encoded(noise(6000, 4000), "jpg")), 100)
        assert (files(open_rig), results(open_rig)) == ([], {"none": 1})
        assert caplog.messages == []

    run(body)


def test_a_mezzanine_that_is_written_while_its_original_is_deleted_is_not_stored(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            for name, deleted in (("deleted.jpg", True), ("replaced.jpg", False)):
                original = open_rig.put(name, LARGE)
                place, written = open_rig.renditions.mezzanine_place(), asyncio.get_running_loop().create_future()
                assert place is not None
                place.write_bytes(b"pixels")
                open_rig.renditions.adopt(original, place, written)
                if deleted:
                    (tmp_path / name).unlink()
                # An upload that replaces an original purges the renditions of the former one, too.
                await open_rig.cache.purge(name)
                written.set_result(6)
            await until(lambda: results(open_rig) == {"kept": 1, "not_kept": 1})
            assert len(files(open_rig)) == 1

    run(body)
