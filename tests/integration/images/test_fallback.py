"""Which of the kept renditions stands in for a wanted one: by name, size and crop, with real tiers."""

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from imgserve.app import Parts, create_app
from imgserve.cache import RenditionKey
from imgserve.config import Config
from imgserve.errors import Unavailable
from imgserve.formats import FORMATS
from imgserve.geometry.box import Size
from imgserve.geometry.plan import plan
from imgserve.images.fallback import FallbackRenditions
from imgserve.images.renditions import Served
from imgserve.images.resolve import RenditionRequest
from imgserve.model import Limits, Original, Rendition
from imgserve.transform import ParsedQuery, Transform, canonical, normalize, parse_query
from tests.rendition_rig import deadly, opened, until
from tests.servers import settled

ORIGINAL = Original("a.jpg", "1_2", 100, 0, FORMATS["jpg"], 4000, 3000, "/nowhere")


def parts(place: Path, *, disk: bool = True) -> Parts:
    settled(place / "originals/a.txt", b"")
    overrides: dict[str, object] = {
        "originals.folder": str(place / "originals"),
        "cache.folder": str(place / "cache"),
        "rendering.stand_in": 0.1,
    }
    found = create_app(
        Config.load(environ={}, overrides={**overrides, **({} if disk else {"cache.disk_bytes": 0})})
    ).state.parts
    assert isinstance(found, Parts)
    return found


def fallback_of(house: Parts) -> FallbackRenditions:
    assert house.fallback is not None
    return house.fallback


def wanted(query: str) -> Transform:
    transform = parse_query(query).transform
    return normalize(transform, FORMATS["jpg"], FORMATS[transform.format or "jpg"])


async def keep(open_rig: Parts, query: str, orientation: int) -> None:
    """Put something of the right size and format under the name that a rendition would have."""
    transform = wanted(query)
    size = plan(Size(ORIGINAL.width, ORIGINAL.height), transform, orientation=orientation).size
    data = b"\xff\xd8\xff" + zlib.crc32(query.encode()).to_bytes(4, "big")
    rendition = Rendition(data, f"image/{transform.format}", size.width, size.height)
    assert await open_rig.cache.put(open_rig.renditions.key(ORIGINAL, transform), rendition)


def chosen(
    place: Path,
    query: str,
    kept: Sequence[str],
    formats: Sequence[str] = ("jpg",),
    *,
    least: float = 0.25,
    orientation: int = 1,
    disk: bool = True,
) -> str | None:
    """Return which of the kept ones is taken."""

    async def body() -> str | None:
        open_rig = parts(place, disk=disk)
        try:
            for one in kept:
                await keep(open_rig, one, orientation)
            transform = wanted(query)
            key = open_rig.renditions.key(ORIGINAL, transform)
            request = RenditionRequest(ORIGINAL, transform, key, ParsedQuery(transform), tuple(formats))
            found = await fallback_of(open_rig)._find(request, min_share=least)
        finally:
            await open_rig.cache.close()
        by_name = {canonical(wanted(one)): one for one in kept}
        return None if found is None else by_name[found[0].canonical]

    return asyncio.run(body())


ANY = ("avif", "webp", "jpg")


@pytest.mark.parametrize(
    ("query", "kept", "formats", "taken"),
    [
        ("w=800", ["w=200", "w=400", "w=300"], ["jpg"], "w=400"),
        ("w=800", ["w=199"], ["jpg"], None),
        ("w=800", ["w=801"], ["jpg"], None),
        ("w=800", ["w=800&q=30"], ["jpg"], "w=800&q=30"),
        ("w=800", ["w=800"], ["jpg"], None),
        ("w=800", ["w=400&fm=webp", "w=300"], ["jpg"], "w=300"),
        ("w=800&fm=avif", ["w=400&fm=webp", "w=300"], ANY, "w=400&fm=webp"),
        ("w=800&fm=avif", ["w=400", "w=400&fm=webp", "w=400&fm=avif"], ANY, "w=400&fm=avif"),
        ("w=800&fm=avif", ["w=400&fm=png"], ANY, None),
        ("w=800&h=400", ["w=800", "w=400&h=100", "w=400&h=200", "w=300&h=150&crop=left"], ["jpg"], "w=400&h=200"),
        ("w=800&h=400&crop=left", ["w=400&h=200"], ["jpg"], None),
        ("w=800", ["h=300", "rot=90&h=400"], ["jpg"], "h=300"),
        ("", ["w=2000"], ["jpg"], "w=2000"),
        ("rect=3500,0,400,400&w=400", ["rect=3500,0,400,400&w=200", "rect=0,0,400,400&w=200"], ["jpg"],
         "rect=3500,0,400,400&w=200"),
        ("w=800&h=800&fit=fill", ["w=400&h=400&fit=fill"], ["jpg"], "w=400&h=400&fit=fill"),
        ("w=7000&h=7000&fit=fill", ["w=3000&h=3000&fit=fill"], ["jpg"], None),
        ("w=800&h=800&crop=entropy", ["w=400&h=400&crop=entropy"], ["jpg"], None),
    ],
)  # fmt: skip
def test_the_nearest_of_the_same_crop_is_taken(
    tmp_path: Path, query: str, kept: list[str], formats: Sequence[str], taken: str | None
) -> None:
    assert chosen(tmp_path, query, kept, formats) == taken


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_original_that_lies_on_its_side_has_stand_ins_too(tmp_path: Path, orientation: int) -> None:
    kept = ["w=400", "w=400&h=500", "rect=0.5,0.5,0.5,0.5&w=400"]
    assert chosen(tmp_path, "w=800", kept, orientation=orientation) == "w=400"


def test_the_share_that_it_must_have_can_be_the_whole(tmp_path: Path) -> None:
    kept = ["w=799&fm=webp", "w=800&fm=webp"]
    assert chosen(tmp_path, "w=800&fm=avif", kept[:1], ANY, least=1.0) is None
    assert chosen(tmp_path, "w=800&fm=avif", kept, ANY, least=1.0) == kept[1]


def test_memory_serves_where_nothing_is_kept_on_disk(tmp_path: Path) -> None:
    assert chosen(tmp_path, "w=800", ["w=400", "w=300"], disk=False) == "w=400"


def test_a_name_that_cannot_be_read_back_stands_in_for_nothing(tmp_path: Path) -> None:
    long = "w=400&h=400&crop=focalpoint&fp-x=0.123456789&fp-y=0.123456789&rect=1001,1002,1903,1904&bg=abcdef&chromasub=444&cs=origin&q=33&rot=12.5"  # noqa: E501  longer than a name may be
    assert len(canonical(wanted(long))) > 150
    assert chosen(tmp_path, long.replace("400", "800"), [long]) is None


async def cancelled_work(*_: object) -> Served:
    raise asyncio.CancelledError


async def endless_work(*_: object, **_options: object) -> Served:
    await asyncio.sleep(60)
    raise AssertionError


def request() -> RenditionRequest:
    transform = wanted("w=800")
    return RenditionRequest(ORIGINAL, transform, RenditionKey("a", "1", "w=800", "r", "jpg"), ParsedQuery(transform))


def test_a_rendering_that_is_cancelled_at_the_end_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        open_rig, one = parts(tmp_path), request()
        monkeypatch.setattr(open_rig.renditions, "_render", cancelled_work)
        for making in (
            open_rig.renditions.make(one.original, one.transform, one.key),
            fallback_of(open_rig).make(one, may_stand_in=True),
        ):
            with pytest.raises(Unavailable) as caught:
                await making
            assert caught.value.retry_after == 1
        await open_rig.cache.close()

    asyncio.run(body())


def test_a_request_that_is_cancelled_itself_stays_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        open_rig = parts(tmp_path)
        monkeypatch.setattr(open_rig.renditions, "make", endless_work)
        for pause in (0.0, 0.3):  # before and after the time to wait is over
            task = asyncio.create_task(fallback_of(open_rig).make(request(), may_stand_in=True))
            await asyncio.sleep(pause)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await open_rig.cache.close()

    asyncio.run(body())


def test_an_avif_that_crashes_is_tried_less_and_less_and_nothing_else_suffers(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path, forget=0) as rig:
            now = 0.0
            fallback = FallbackRenditions(
                rig.renditions,
                rig.cache,
                after=0,
                slow_pixels=0,
                limits=Limits(),
                loaded=lambda: False,
                clock=lambda: now,
            )
            original, jpeg = rig.put(), Transform(width=100, format="jpg")
            avif = replace(jpeg, format="avif")
            sooner = (jpeg, rig.renditions.key(original, jpeg))
            request = RenditionRequest(
                original, avif, rig.renditions.key(original, avif), ParsedQuery(avif), ("avif", "jpg"), sooner=sooner
            )

            async def tried() -> tuple[float, int]:
                served = await fallback.make(request, may_stand_in=True)
                await until(lambda: not fallback._later)
                assert served.rendition.media_type == "image/jpeg"
                return rig.figure("renders_total", format="avif", result="render_crashed"), served.lasts

            with deadly("avif"):
                assert [await tried() for _ in range(3)] == [(1, 5), (1, 60), (1, 60)]
                assert (await rig.make(original, 30)).outcome == "render"
                now = 59
                assert await tried() == (1, 5)
                now = 60
                assert [await tried() for _ in range(2)] == [(2, 5), (2, 120)]
            now = 180
            await tried()
            assert (await fallback.make(request, may_stand_in=True)).rendition.media_type == "image/avif"

    asyncio.run(work())
