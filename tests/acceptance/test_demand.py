"""A popular picture becomes smaller under a new entity tag, which clients and caches of the old one receive."""

from pathlib import Path

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
