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
from tests.house import LONG_YOUNG, House, deadly, opened, run, until
from tests.pictures import animation, encoded, noise
from tests.servers import rendering_processes, resume

ROOM = 10**9
LARGE = encoded(noise(2000, 1500), "jpg")


def made_from(house: House) -> tuple[float, float]:
    """Count the pictures made from originals and from mezzanines."""
    return tuple(house.figure("renders_made_from_total", what=what) for what in ("original", "mezzanine"))  # type: ignore[return-value]  # two


def results(house: House) -> dict[str, float]:
    """Count what became of mezzanines."""
    counted = {result: house.figure("mezzanines_total", result=result) for result in ("kept", "not_kept", "none")}
    return {result: number for result, number in counted.items() if number}


def files(house: House) -> list[Path]:
    """List the mezzanines, finished or not."""
    below = [path for path in (house.place / ".cache").rglob("*") if path.is_file()]
    return [path for path in below if path.suffix == ".pixels" or ".tmp" in path.parts]


async def all_of(house: House, original: Original, widths: list[int]) -> list[Served]:
    """Ask for several widths at once."""
    return list(await asyncio.gather(*(house.make(original, width) for width in widths)))


def test_eight_sizes_of_a_cold_original_decode_it_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM, processes=2) as house:
            original = house.put("a.jpg", LARGE)
            served = await all_of(house, original, [100, 200, 300, 400, 500, 600, 700, 800])
            assert [one.rendition.width for one in served] == [100, 200, 300, 400, 500, 600, 700, 800]
            assert made_from(house) == (1, 7)
            assert (results(house), len(files(house))) == ({"kept": 1}, 1)
        async with opened(tmp_path, mezzanines=ROOM) as house:
            await house.make(house.put("a.jpg", LARGE, age=60), 900)
            await house.make(original, 901)
            assert made_from(house)[1] >= 1, "it is used after a restart"

    run(body)


def test_the_first_is_answered_before_its_mezzanine_is_kept(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            await house.make(house.put("a.jpg", LARGE), 100)
            assert results(house) == {}
            await until(lambda: results(house) == {"kept": 1})

    run(body)


def test_without_a_budget_everything_is_made_from_the_original(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=0) as house:
            await all_of(house, house.put("a.jpg", LARGE), [100, 200])
            assert (made_from(house), files(house)) == ((2, 0), [])

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
        async with opened(tmp_path, mezzanines=ROOM) as house:
            original = house.put(name, data)
            served = await all_of(house, original, [100, 200])
            assert [one.rendition.width for one in served] == [100, 200]
            assert made_from(house) == (2, 0)
            await until(lambda: not house.figure("rendering"))
            await until(lambda: files(house) == [])

    run(body)


def test_of_an_original_that_may_still_be_written_nothing_is_kept(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM, render_settings=LONG_YOUNG) as house:
            await all_of(house, house.put("a.jpg", LARGE, age=0), [100, 200])
            assert (made_from(house), files(house)) == ((2, 0), [])

    run(body)


def test_a_replaced_original_does_not_meet_the_mezzanine_of_its_former_version(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            await house.make(house.put("a.jpg", LARGE, age=60), 100)
            await until(lambda: results(house) == {"kept": 1})
            other = house.put("a.jpg", encoded(noise(2000, 1000), "jpg"), age=50)
            served = await house.make(other, 200)
            assert (served.rendition.height, made_from(house)) == (100, (2, 0))

    run(body)


def test_a_purge_takes_the_mezzanine_too(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            original = house.put("a.jpg", LARGE)
            await all_of(house, original, [100, 200])
            await house.cache.purge(original.image_id)
            assert files(house) == []
            await house.make(original, 300)
            assert made_from(house) == (2, 1)

    run(body)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"x" * path.stat().st_size)])
def test_a_mezzanine_that_is_gone_or_broken_costs_time_only(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            original = house.put("a.jpg", LARGE)
            await house.make(original, 100)
            await until(lambda: results(house) == {"kept": 1})
            harm(files(house)[0])
            assert (await house.make(original, 200)).rendition.width == 200
            assert made_from(house) == (2, 0)
            await house.make(original, 300)
            await until(lambda: results(house) == {"kept": 2})
            await house.make(original, 400)
            assert made_from(house)[1] >= 1, "it was made anew"

    run(body)


def test_those_who_wait_for_a_maker_that_fails_fail_too_and_none_hangs(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            original = house.put("a.jpg", LARGE[: len(LARGE) // 2])
            outcomes = await asyncio.gather(
                *(house.make(original, width) for width in (100, 200, 300)), return_exceptions=True
            )
            assert [type(outcome) for outcome in outcomes] == [UnreadableImage] * 3
            assert files(house) == []

    run(body)


def test_when_the_maker_s_client_leaves_the_queue_another_becomes_the_maker(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            original = house.put("a.jpg", LARGE)
            busy = house.put("b.jpg", encoded(noise(50, 50), "jpg"))
            (child,) = rendering_processes()
            child.suspend()
            first = asyncio.create_task(house.make(busy, 10))
            await until(lambda: house.figure("rendering") == 1)
            leaver = asyncio.create_task(house.make(original, 100))
            await until(lambda: house.figure("render_queue") == 1)
            stayers = asyncio.create_task(all_of(house, original, [200, 300]))
            await anyio.sleep(0.1)
            leaver.cancel()
            await asyncio.gather(leaver, return_exceptions=True)
            resume(child)
            await first
            assert [one.rendition.width for one in await stayers] == [200, 300]
            assert made_from(house) == (2, 1), "the small one and the new maker's; then from the mezzanine"

    run(body)


def test_a_process_that_dies_while_it_writes_a_mezzanine_costs_no_picture(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            original = house.put("a.jpg", encoded(noise(6000, 4000), "jpg"))
            first = asyncio.create_task(house.make(original, 100))
            others = asyncio.create_task(all_of(house, original, [200, 300]))
            assert (await first).rendition.width == 100
            for child in rendering_processes():
                child.kill()
            assert [one.rendition.width for one in await others] == [200, 300]
            await until(lambda: not house.figure("rendering"))
            await until(lambda: not [path for path in files(house) if ".tmp" in path.parts])

    run(body)


def test_a_mezzanine_prepared_ahead_serves_the_first_picture(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            original = house.put("a.jpg", LARGE)
            assert await house.renditions.prepare(original)
            await until(lambda: results(house) == {"kept": 1})
            assert not await house.renditions.prepare(original)
            await house.make(original, 100)
            assert made_from(house) == (0, 1)
            small = house.put("small.png", encoded(noise(30, 20), "png"))
            assert not await house.renditions.prepare(small)
            with pytest.raises(UnreadableImage):
                await house.renditions.prepare(house.put("torn.jpg", LARGE[:3000]))
            assert len(files(house)) == 1

    run(body)


def test_a_picture_that_its_mezzanine_cannot_serve_is_made_from_the_original_beside_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            original = house.put("a.jpg", LARGE)
            profile = Transform(width=400, profile="origin", format="png")
            served = await house.renditions.make(original, profile, house.renditions.key(original, profile))
            await until(lambda: not house.figure("rendering"))
            assert (served.rendition.width, made_from(house), results(house)) == (400, (1, 0), {})

    run(body)


def test_the_same_original_crashing_twice_leaves_no_file(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            with deadly(), pytest.raises(RenderCrashed):
                await house.make(house.put("a.jpg", LARGE), 100)
            assert house.figure("render_process_deaths_total", reason="crash") == 2
            await until(lambda: results(house) == {"none": 1})
            assert files(house) == []


def test_the_end_while_mezzanines_are_written_leaves_no_file_and_tells_of_no_loss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            await house.make(house.put("a.jpg", encoded(noise(6000, 4000), "jpg")), 100)
        assert (files(house), results(house)) == ([], {"none": 1})
        assert caplog.messages == []

    run(body)
