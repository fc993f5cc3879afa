"""Renditions that failed or were slow, in the catalog, and the watch that stores them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from imgserve.catalog import RenderWatch
from imgserve.records import SLOW, RenderProblem
from tests.catalogs import START, Catalog

pytestmark = pytest.mark.anyio

FAILED = RenderProblem("a\udcff.jpg", "width=100", "render_timeout", "It took too long.", 60.0, 1, START)
LATER = START + timedelta(minutes=1)


async def test_a_problem_that_happens_again_is_counted(catalog: Catalog) -> None:
    await catalog.renders.add([FAILED])
    await catalog.renders.add([replace(FAILED, seconds=20.0, times=2, last=LATER, detail="Again.")])
    assert await catalog.renders.list(slow=False) == [replace(FAILED, times=3, last=LATER, detail="Again.")]


async def test_failed_and_slow_renditions_are_listed_apart_the_latest_first(catalog: Catalog) -> None:
    slow = replace(FAILED, code=SLOW, detail="", seconds=7.5)
    await catalog.renders.add([FAILED, slow, replace(FAILED, image_id="b.jpg", last=LATER)])
    assert [one.image_id for one in await catalog.renders.list(slow=False)] == ["b.jpg", "a\udcff.jpg"]
    assert await catalog.renders.list(slow=True) == [slow]
    assert len(await catalog.renders.list(slow=False, limit=1)) == 1
    assert await catalog.renders.clear() == 3
    assert await catalog.renders.list(slow=False) == []


async def test_only_the_latest_are_stored(catalog: Catalog) -> None:
    many = [replace(FAILED, image_id=f"{number}.jpg", last=START + timedelta(seconds=number)) for number in range(1100)]
    await catalog.renders.add(many)
    found = await catalog.renders.list(slow=False, limit=5000)
    assert (len(found), found[0].image_id, found[-1].image_id) == (1000, "1099.jpg", "100.jpg")


async def test_the_longest_ids_and_parameters_fit(catalog: Catalog) -> None:
    await catalog.renders.add([replace(FAILED, image_id="\N{CJK UNIFIED IDEOGRAPH-4E00}" * 600, transform="x" * 9000)])
    assert len((await catalog.renders.list(slow=False))[0].transform) == 500


async def test_a_watch_adds_up_what_it_notes_and_tries_again(catalog: Catalog) -> None:
    watch = RenderWatch(catalog.renders)
    for seconds in (1.0, 3.0, 2.0):
        watch.note(replace(FAILED, seconds=seconds))
    await watch.flush()
    await watch.flush()
    (found,) = await catalog.renders.list(slow=False)
    assert (found.seconds, found.times) == (3.0, 3)


async def test_an_image_id_that_cannot_be_stored_loses_no_other_problem(catalog: Catalog) -> None:
    watch = RenderWatch(catalog.renders)
    for image_id in ("x" * 3000, "\ud800", FAILED.image_id):
        watch.note(replace(FAILED, image_id=image_id))
    await watch.flush()
    assert await catalog.renders.list(slow=False) == [FAILED]
