"""A popular picture becomes smaller under a new entity tag, which clients and caches of the old one receive."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.pictures import encoded, noise
from tests.servers import server, settled, until

PICTURE = "/img/a.jpg?width=300"


@pytest.mark.alone
def test_a_popular_picture_gets_smaller_and_the_old_tag_gets_the_new_body(tmp_path: Path) -> None:
    folder = tmp_path / "originals"
    settled(folder / "a.jpg", encoded(noise(400, 300).gaussblur(3), "jpg"))
    env = {"IMGSERVE_RENDERING__EFFORT": "demand"}
    with server(folder, "--cache", tmp_path / "cache", env=env) as site:
        first = site.get(PICTURE)
        for _ in range(12):
            assert site.get(PICTURE).headers["etag"] == first.headers["etag"]
        # It is encoded only while the machine has nothing else to do, at the next look at what was sent.
        until(lambda: site.get(PICTURE).headers["etag"] != first.headers["etag"])
        second = site.get(PICTURE)
        assert len(second.content) < len(first.content)
        old, new = first.headers["etag"], second.headers["etag"]
        until(lambda: site.get(PICTURE, if_none_match=old).status_code == 200)  # noted a moment after it is stored
        outdated = site.get(PICTURE, if_none_match=old)
        assert (outdated.status_code, outdated.content) == (200, second.content)
        assert site.get(PICTURE, if_none_match=new).status_code == 304
        mixed = site.get(PICTURE, range="bytes=10-19", if_range=old)
        assert (mixed.status_code, mixed.content) == (200, second.content)
        same = site.get(PICTURE, range="bytes=10-19", if_range=new)
        assert (same.status_code, same.content) == (206, second.content[10:20])
        assert site.get(PICTURE, if_match=old).status_code == 412
    with server(folder, "--cache", tmp_path / "cache", env=env) as site:
        assert site.get(PICTURE).headers["etag"] == new


def _seconds(server_process: int) -> tuple[float, float]:
    """Return the processor time of the rendering processes with idle priority, and of the others."""
    found = [0.0, 0.0]
    for child in psutil.Process(server_process).children():
        found[os.sched_getscheduler(child.pid) != os.SCHED_IDLE] += child.cpu_times().user
    return found[0], found[1]


@pytest.mark.alone
def test_clients_have_the_cores_while_a_popular_picture_is_encoded_again(tmp_path: Path) -> None:
    folder, popular = tmp_path / "originals", "/img/a.jpg?format=avif&quality=80"
    settled(folder / "a.jpg", encoded(noise(4000, 3000), "jpg"))
    env = {"IMGSERVE_RENDERING__EFFORT": "demand", "IMGSERVE_RENDERING__PROCESSES": str(os.cpu_count())}
    with server(folder, "--cache", tmp_path / "cache", env=env) as site:
        first = site.get(popular)
        for _ in range(60):
            site.get(popular)
        until(lambda: _seconds(site.process.pid)[0] > 0.5)
        before = _seconds(site.process.pid)
        with ThreadPoolExecutor(8) as pool:
            # The encoder of WebP takes so long that the processes of clients hardly wait for their next pictures.
            answers = list(pool.map(site.get, [f"/img/a.webp?width={1600 + number}" for number in range(64)]))
        idle, busy = (after - then for after, then in zip(_seconds(site.process.pid), before, strict=True))
        assert {answer.status_code for answer in answers} == {200}
        assert site.get(popular).headers["etag"] == first.headers["etag"]  # it is still being encoded
        # With the same priority, it would be half.
        assert idle < 0.4 * busy
