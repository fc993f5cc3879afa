"""What ends a hot answer: time, a changed folder, a purge, other bytes. And what never becomes one."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from imgserve.cache import RenditionKey
from imgserve.model import Rendition
from tests.pictures import BLUE, GREEN, RED, color_at, encoded, near, noise, opened, quarters
from tests.raw_http import RawAnswer, raw, talk
from tests.servers import settled, until
from tests.threads import ThreadServer, thread_server

WITHIN = 1.3
"""One second is promised, to requests that begin after it. The rest is for the time between a look and its note."""
TARGET = "/img/noise.jpg?width=100"
Settings = Mapping[str, Mapping[str, object]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settled(tmp_path / "originals/noise.jpg", encoded(noise(), "jpg"))
    return tmp_path / "originals"


@pytest.fixture
def lasting(folder: Path, tmp_path: Path) -> Iterator[ThreadServer]:
    """Serve with looks that last for the whole test, and new originals that are young for as long."""
    settings: Settings = {"originals": {"recheck": 600, "settle": 600}}
    with thread_server(folder, tmp_path / "cache", settings=settings) as served:
        yield served


@pytest.fixture
def changing(folder: Path, tmp_path: Path) -> Iterator[ThreadServer]:
    """Serve as settings are by default."""
    with thread_server(folder, tmp_path / "cache") as served:
        yield served


def ask(served: ThreadServer, target: str = TARGET, *fields: str) -> RawAnswer:
    request = "\n".join([f"GET {target} HTTP/1.1", "Host: a", *fields])
    with contextlib.closing(served.connect()) as connection:
        [answer] = talk(connection, [raw(request)])
    return answer


def is_hot(served: ThreadServer, target: str = TARGET, *fields: str) -> bool:
    before = served.hot.responses
    ask(served, target, *fields)
    return served.hot.responses > before


def warm(served: ThreadServer, target: str = TARGET) -> RawAnswer:
    """Request until it is answered hot; with short looks a slow machine may need a few times."""
    ask(served, target)
    until(lambda: is_hot(served, target))
    return ask(served, target)


def plain(color: tuple[int, int, int]) -> bytes:
    return encoded((quarters(40, 30) * 0 + list(color)).cast("uchar"), "png")


def shows(answer: RawAnswer, color: tuple[int, int, int]) -> bool:
    return " 200 " in answer.status and near(color_at(opened(answer.body), 0.5, 0.5), color)


def asked_until(served: ThreadServer, target: str, found: Callable[[RawAnswer], bool]) -> None:
    until(lambda: found(ask(served, target)), WITHIN)


def test_a_replaced_original_is_served_new_within_a_second(changing: ThreadServer, folder: Path) -> None:
    settled(folder / "red.png", plain(RED))
    assert shows(warm(changing, "/img/red.png?width=20"), RED)
    (folder / "red.png").write_bytes(plain(BLUE))
    asked_until(changing, "/img/red.png?width=20", lambda answer: shows(answer, BLUE))


def test_a_deleted_original_is_absent_within_a_second_also_to_who_has_it(changing: ThreadServer, folder: Path) -> None:
    tag = f"If-None-Match: {warm(changing).header('etag')}"
    assert "304" in ask(changing, TARGET, tag).status
    (folder / "noise.jpg").unlink()
    asked_until(changing, TARGET, lambda answer: "404" in answer.status)
    assert "404" in ask(changing, TARGET, tag).status


def test_a_file_of_the_very_name_takes_the_place_of_one_with_another_extension(
    changing: ThreadServer, folder: Path
) -> None:
    settled(folder / "shoe.png", plain(RED))
    assert shows(warm(changing, "/img/shoe.webp?width=20"), RED)
    settled(folder / "shoe.webp", plain(GREEN))
    asked_until(changing, "/img/shoe.webp?width=20", lambda answer: shows(answer, GREEN))


def test_one_request_of_an_image_looks_again_and_all_its_answers_hold_on(folder: Path, tmp_path: Path) -> None:
    with thread_server(folder, tmp_path / "cache", settings={"originals": {"recheck": 1.5}}) as served:
        other = "/img/noise.jpg?width=60"
        warm(served)
        warm(served, other)
        time.sleep(1.6)
        assert not is_hot(served)
        assert is_hot(served)
        assert is_hot(served, other)


def test_without_a_time_between_looks_nothing_is_hot(folder: Path, tmp_path: Path) -> None:
    with thread_server(folder, tmp_path / "cache", settings={"originals": {"recheck": 0}}) as served:
        assert not any(is_hot(served) for _ in range(4))


def test_a_purged_rendition_is_made_again(lasting: ThreadServer) -> None:
    warm(lasting)
    assert lasting.run(lasting.app.state.parts.cache.purge("noise.jpg")) == 1
    assert "fwd=miss" in ask(lasting).header("cache-status")
    assert is_hot(lasting)


def test_what_is_forgotten_is_looked_at_before_it_is_answered(lasting: ThreadServer, folder: Path) -> None:
    warm(lasting)
    (folder / "noise.jpg").unlink()

    async def forget() -> None:
        lasting.app.state.parts.locator.forget("noise.jpg")

    lasting.run(forget())
    assert "404" in ask(lasting).status


def test_what_was_evicted_from_memory_comes_from_disk_and_is_hot_again(folder: Path, tmp_path: Path) -> None:
    settings: Settings = {"originals": {"recheck": 600}, "cache": {"memory_bytes": 200_000}}
    with thread_server(folder, tmp_path / "cache", settings=settings) as served:
        warm(served)
        for width in range(300, 330):
            ask(served, f"/img/noise.jpg?width={width}")
        assert ask(served).header("cache-status") == "imgserve; hit; detail=disk"
        assert is_hot(served)
        assert ask(served).header("cache-status") == "imgserve; hit; detail=memory"


def test_other_bytes_of_the_same_picture_are_sent_with_their_own_tag(lasting: ThreadServer) -> None:
    before = warm(lasting)
    [key] = [key for key in keys(lasting) if "100" in key.canonical]
    other = Rendition(b"made by another node", "image/jpeg", 100, 75)
    lasting.run(lasting.app.state.parts.cache.put(key, other))
    for _ in range(2):
        after = ask(lasting)
        assert (after.body, after.header("content-length")) == (other.data, "20")
        assert after.header("etag") == f'"{key.tag}-{other.crc32:08x}"' != before.header("etag")
    assert is_hot(lasting)
    assert "304" in ask(lasting, TARGET, f"If-None-Match: {before.header('etag')}").status


def keys(served: ThreadServer) -> list[RenditionKey]:
    return list(served.app.state.parts.cache._memory)


def test_a_revalidation_is_hot_without_a_picture(folder: Path, tmp_path: Path) -> None:
    with thread_server(folder, tmp_path / "one") as first:
        tag = f"If-None-Match: {ask(first).header('etag')}"
    settings: Settings = {"originals": {"recheck": 600}, "cache": {"memory_bytes": 0, "disk_bytes": 0}}
    with thread_server(folder, tmp_path / "two", settings=settings) as second:
        assert not is_hot(second, TARGET, tag)
        assert is_hot(second, TARGET, tag)
        assert "304" in ask(second, TARGET, tag).status
        assert not any(is_hot(second) for _ in range(3))
        assert is_hot(second, TARGET, tag)


@pytest.mark.parametrize("age", [0, -3600], ids=["young", "of the future"])
def test_an_original_that_may_be_or_become_unsettled_is_never_hot(
    lasting: ThreadServer, folder: Path, age: float
) -> None:
    path = settled(folder / "red.png", plain(RED))
    os.utime(path, (time.time() - age, time.time() - age))
    tag = f"If-None-Match: {ask(lasting, '/img/red.png?width=20').header('etag')}"
    assert not any(is_hot(lasting, "/img/red.png?width=20") for _ in range(3))
    assert not any(is_hot(lasting, "/img/red.png?width=20", tag) for _ in range(3))
