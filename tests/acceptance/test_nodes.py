"""Two nodes over the same originals and one PostgreSQL, each with a cache of its own."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.management import Api, managed
from tests.pictures import encoded, noise
from tests.postgres import serving
from tests.servers import settled, until

PHOTO = encoded(noise(1600, 1200), "jpg")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as postgres:
        yield postgres.new_database()


def node(folder: Path, name: str, url: str) -> contextlib.AbstractContextManager[Api]:
    options = ("--cache", folder / name / "cache", "--data", folder / name)
    return managed(folder / "originals", *options, env={"IMGSERVE_CATALOG__URL": url})


def stored(folder: Path, name: str) -> int:
    """Count the renditions and mezzanines on the disk of a node."""
    files = (path for kind in ("renditions", "mezzanines") for path in (folder / name / "cache" / kind).rglob("*"))
    return sum(path.is_file() and not path.name.startswith(".") for path in files)


def test_a_purge_reaches_the_disk_of_the_other_node_within_seconds_or_when_it_starts(tmp_path: Path, url: str) -> None:
    settled(tmp_path / "originals/a.jpg", PHOTO)
    with node(tmp_path, "one", url) as one:
        with node(tmp_path, "two", url) as two:
            for api in (one, two):
                until(lambda api=api: api.found("a.jpg"))  # type: ignore[misc]  # bound at once
                assert api.picture("a.jpg?width=300").status_code == 200
            until(lambda: stored(tmp_path, "one") >= 2 and stored(tmp_path, "two") >= 2)
            assert one.ask("POST", "/api/purge/a.jpg?mezzanines=true").json()["images"] == 1
            until(lambda: stored(tmp_path, "two") == 0)
            # What is rendered before the purge is over is not stored.
            widths = itertools.count(301)
            until(lambda: two.picture(f"a.jpg?width={next(widths)}").is_success and stored(tmp_path, "two") >= 2)
        one.ask("POST", "/api/purge", json={"all": True, "mezzanines": True})
        assert stored(tmp_path, "two") >= 2
        with node(tmp_path, "two", url):
            until(lambda: stored(tmp_path, "two") == 0)
