"""A walk meets every file once in the order of ids, follows no link in circles, and tells what it could not see."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgserve.errors import ImageNotFound, ImgserveError
from imgserve.originals.tree import Walked
from imgserve.originals.writable import WritableOriginals
from tests.folders import walked
from tests.servers import settled


def ids(walk: Iterator[Walked]) -> list[str]:
    return [file.image_id for file in walk]


def test_files_are_reported_with_their_state_whatever_their_extension(folder: Path) -> None:
    state = settled(folder / "a/notes.txt", b"four").stat()
    (found,) = walked(folder)
    assert (found.image_id, found.version) == ("a/notes.txt", f"{state.st_mtime_ns:x}_4")


def test_a_version_is_that_of_a_look_at_the_file(folder: Path, place_of: WritableOriginals) -> None:
    settled(folder / "a.svg", b"<svg/>")
    (found,) = walked(folder)
    assert place_of.stat("a.svg").file_version == found.version


def test_ids_come_in_order_and_hidden_ones_not_at_all(folder: Path) -> None:
    names = ["a/z", "a.jpg", "a-b", "B", "a/b/c", "caf\udce9", "z", "ä", "a/b.jpg"]
    for name in [*names, ".hidden/a", "a/.b", ".imgserve/incoming/x"]:
        settled(folder / name, b"x")
    assert ids(walked(folder)) == sorted(names)


def test_only_regular_files_are_met(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "empty").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        assert ids(walked(folder)) == []


@pytest.fixture
def linked(folder: Path) -> Path:
    settled(folder / "real/a.jpg", b"bytes")
    settled(folder.parent / "outside.jpg", b"theirs")
    settled(folder / ".hidden.jpg", b"x")
    (folder / "link.jpg").symlink_to("real/a.jpg")
    (folder / "out.jpg").symlink_to("../outside.jpg")
    (folder / "to-hidden.jpg").symlink_to(".hidden.jpg")
    (folder / "dangling.jpg").symlink_to("nothing")
    (folder / "real/circle").symlink_to("..")
    (folder / "self").symlink_to("self")
    (folder / "out").symlink_to("..")
    return folder


def test_links_count_as_what_they_lead_to_inside_and_folders_behind_them_are_left_out(linked: Path) -> None:
    found = list(walked(linked))
    assert [file.image_id for file in found] == ["link.jpg", "real/a.jpg"]
    assert found[0].version == found[1].version


def test_links_do_not_count_where_they_are_not_followed(linked: Path) -> None:
    assert ids(walked(linked, follow_links=False)) == ["real/a.jpg"]


def test_folders_that_vanish_on_the_way_are_no_trouble(folder: Path) -> None:
    for name in ("a/x", "b/x", "c/x", "d/x"):
        settled(folder / name, b"x")
    walk = walked(folder)
    assert next(walk).image_id == "a/x"
    shutil.rmtree(folder / "b")
    (folder / "c/x").unlink()
    assert ids(walk) == ["d/x"]


def test_a_folder_that_became_a_link_is_not_followed(folder: Path) -> None:
    for name in ("a/x", "b/x"):
        settled(folder / name, b"x")
    settled(folder.parent / "outside/secret", b"x")
    walk = walked(folder)
    next(walk)
    shutil.rmtree(folder / "b")
    (folder / "b").symlink_to("../outside")
    assert ids(walk) == []


def test_a_root_that_is_not_there_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    walk = walked(tmp_path / "absent")
    assert ids(walk) == []
    assert len(caplog.records) == 1


@given(st.lists(st.lists(st.sampled_from(["a", "a.", "b", "-", "é"]), min_size=1, max_size=4), max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_a_walk_meets_what_is_there(tmp_path: Path, paths: list[list[str]]) -> None:
    shutil.rmtree(tmp_path / "root", ignore_errors=True)
    (tmp_path / "root").mkdir()
    for parts in paths:
        with_folders(tmp_path / "root", parts)
    there = (path for path in (tmp_path / "root").rglob("*") if path.is_file())
    originals = WritableOriginals(tmp_path / "root")
    assert ids(walked(tmp_path / "root")) == sorted(str(path.relative_to(tmp_path / "root")) for path in there)
    assert all(served(originals, image_id) for image_id in ids(walked(tmp_path / "root")))


def with_folders(root: Path, parts: list[str]) -> None:
    """Make a file unless a file or folder is in its way."""
    path = root.joinpath(*parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return


def served(originals: WritableOriginals, image_id: str) -> bool:
    """Return whether a look at it finds a file, if no picture."""
    try:
        originals.stat(image_id)
    except ImgserveError as error:
        return not isinstance(error, ImageNotFound)
    return True


def test_a_walk_is_lazy(folder: Path) -> None:
    walk = walked(folder)
    settled(folder / "late.jpg", b"x")
    assert isinstance(walk, Iterator)
    assert ids(walk) == ["late.jpg"]
