"""The cache over the life of a server: what a second start finds, and what is lost with the folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server, server

TARGET = "/img/shoe.jpg?width=48"


def test_a_second_start_serves_from_disk_what_the_first_made(gallery: Path, tmp_path: Path) -> None:
    cache, still = tmp_path / "cache", "/img/kinds/moving.gif?width=32"
    settings = {"IMGSERVE_LIMITS__ANIMATION_PIXELS": "5000"}
    with server(gallery, "--cache", cache, env=settings) as first:
        made, noted = first.get(TARGET), first.get(still)
        assert made.headers["cache-status"] == "imgserve; fwd=miss; stored"
    with server(gallery, "--cache", cache, env=settings) as second:
        found, again, noted_again = second.get(TARGET), second.get(TARGET), second.get(still)
        assert second.figure("imgserve_renders_total") == 0
    assert found.headers["cache-status"] == "imgserve; hit; detail=disk"
    assert again.headers["cache-status"] == "imgserve; hit; detail=memory"
    for name in ("etag", "content-type", "last-modified", "content-disposition"):
        assert {answer.headers[name] for answer in (made, found, again)} == {made.headers[name]}
    assert made.content == found.content == again.content
    assert noted.headers["x-image-adjusted"] == noted_again.headers["x-image-adjusted"]


def test_an_etag_outlives_the_cache_and_is_answered_without_a_picture(gallery: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with server(gallery, "--cache", cache) as first:
        made = first.get(TARGET)
    shutil.rmtree(cache)
    with server(gallery, "--cache", cache) as second:
        assert second.get(TARGET, if_none_match=made.headers["etag"]).status_code == 304
        assert second.figure("imgserve_renders_total") == 0
        assert second.get(TARGET).content == made.content
        assert second.figure("imgserve_renders_total") == 1


@pytest.fixture(scope="module")
def uncached(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve without memory and without a folder to keep pictures in."""
    cache = tmp_path_factory.mktemp("uncached") / "cache"
    settings = {f"IMGSERVE_CACHE__{tier}_BYTES": "0" for tier in ("MEMORY", "DISK", "MEZZANINE")}
    with server(gallery, "--cache", cache, env=settings) as served:
        yield served
    assert not cache.exists()


def test_a_server_without_any_cache_serves_all_the_same(uncached: Server) -> None:
    answers = [uncached.get(TARGET) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert not any("hit" in answer.headers["cache-status"] for answer in answers)


def test_what_no_tier_keeps_is_not_called_stored(uncached: Server) -> None:
    assert uncached.get(TARGET).headers["cache-status"] == "imgserve; fwd=miss"
