"""Files get their place whole or not at all, never through a link that leads out, and lose it for good."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imgserve.errors import BadImageId, ImageExists, ImageNotFound
from imgserve.model import file_version
from imgserve.originals.folder import Root
from imgserve.originals.incoming import Incoming, move_by_link, move_new, put_file
from imgserve.originals.writable import WritableOriginals
from tests.folders import walked

Bring = Callable[[WritableOriginals, bytes], Incoming]


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything visible below a folder; folders have no bytes."""
    paths = (path for path in sorted(folder.rglob("*")) if ".imgserve" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


def version_of(path: Path) -> str:
    return file_version(path.stat().st_mtime_ns, path.stat().st_size)


def test_an_incoming_file_is_seen_by_nobody_until_it_is_placed(
    folder: Path, place_of: WritableOriginals, bring: Bring
) -> None:
    incoming = bring(place_of, b"one ")
    incoming.write(b"two")
    incoming.close()
    assert incoming.path.read_bytes() == b"one two"
    assert tree(folder) == {}
    version = place_of.place(incoming, "a/b/c.jpg", replace=False)
    assert tree(folder) == {"a": None, "a/b": None, "a/b/c.jpg": b"one two"}
    assert version == version_of(folder / "a/b/c.jpg")
    assert not any((folder / ".imgserve/incoming").iterdir())


def test_a_placed_file_is_readable_by_all_and_writable_by_its_owner(
    folder: Path, place_of: WritableOriginals, bring: Bring
) -> None:
    before = os.umask(0)
    try:
        place_of.place(bring(place_of, b"x"), "a/b.jpg", replace=False)
    finally:
        os.umask(before)
    assert (folder / "a/b.jpg").stat().st_mode & 0o777 == 0o644
    assert (folder / "a").stat().st_mode & 0o777 == 0o755
    assert (folder / ".imgserve").stat().st_mode & 0o777 == 0o700


def test_what_is_dropped_or_left_leaves_nothing(folder: Path, place_of: WritableOriginals) -> None:
    with place_of.incoming() as incoming:
        incoming.write(b"x")
    incoming.drop()
    with place_of.incoming() as placed:
        place_of.place(placed, "a.jpg", replace=False)
    assert not any((folder / ".imgserve/incoming").iterdir())
    assert tree(folder) == {"a.jpg": b""}


def test_a_closed_file_takes_nothing_more(place_of: WritableOriginals, bring: Bring) -> None:
    incoming = bring(place_of, b"x")
    incoming.close()
    with pytest.raises(ValueError, match="closed"):
        incoming.write(b"y")


def test_what_is_there_keeps_its_place_unless_it_is_to_be_replaced(
    folder: Path, place_of: WritableOriginals, bring: Bring
) -> None:
    place_of.place(bring(place_of, b"old"), "a.jpg", replace=False)
    incoming = bring(place_of, b"newer")
    with pytest.raises(ImageExists):
        place_of.place(incoming, "a.jpg", replace=False)
    assert tree(folder) == {"a.jpg": b"old"}
    place_of.place(incoming, "a.jpg", replace=True)
    assert tree(folder) == {"a.jpg": b"newer"}


@pytest.mark.parametrize("data", [b"new", b"longer"])
def test_a_replaced_file_has_another_version_even_of_the_same_time_and_size(
    folder: Path, place_of: WritableOriginals, bring: Bring, data: bytes
) -> None:
    place_of.place(bring(place_of, b"old"), "a.jpg", replace=False)
    incoming = bring(place_of, data)
    moment = (folder / "a.jpg").stat().st_mtime_ns
    os.utime(incoming.path, ns=(moment, moment))
    before = version_of(folder / "a.jpg")
    after = place_of.place(incoming, "a.jpg", replace=True)
    assert before != after == version_of(folder / "a.jpg")


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(
    ("image_id", "error", "sentence"),
    [
        ("a.jpg/b.jpg", ImageExists, "is a file"),
        ("a.jpg/b/c.jpg", ImageExists, "is a file"),
        ("album", ImageExists, ""),
        ("../x.jpg", BadImageId, "dot"),
        ("/etc/x.jpg", BadImageId, "slash"),
        (".hidden/x.jpg", BadImageId, "dot"),
        ("out/x.jpg", BadImageId, "leads out"),
        ("out/deep/er/x.jpg", BadImageId, "leads out"),
        ("in-hidden/x.jpg", BadImageId, "leads out"),
        ("cafe\u0301.jpg", BadImageId, "NFC"),
    ],
)
def test_what_can_have_no_place_gets_none_and_changes_nothing(
    folder: Path, place_of: WritableOriginals, bring: Bring, *, image_id: str, error: type, sentence: str, replace: bool
) -> None:
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "album").mkdir()
    outside = folder.parent / "outside"
    outside.mkdir()
    (folder / "out").symlink_to(outside)
    (folder / "in-hidden").symlink_to(folder / ".imgserve")
    before = tree(folder)
    with pytest.raises(error, match=re.compile(sentence)):
        place_of.place(bring(place_of, b"x"), image_id, replace=replace)
    assert tree(folder) == before
    assert list(outside.iterdir()) == []


def test_a_folder_that_is_changed_to_a_link_is_not_followed(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (folder / "a").mkdir()
    root = Root.at(folder, follow_links=True)

    def swap_and_write(descriptor: int, name: str) -> None:
        (folder / "a").rename(folder / "moved")
        (folder / "a").symlink_to(outside)
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))

    put_file(root, "a/x.jpg", swap_and_write)
    assert (folder / "moved/x.jpg").exists()
    assert list(outside.iterdir()) == []


def test_a_link_inside_the_folder_leads_to_its_target(folder: Path, place_of: WritableOriginals, bring: Bring) -> None:
    (folder / "albums/2024").mkdir(parents=True)
    (folder / "now").symlink_to("albums/2024")
    place_of.place(bring(place_of, b"x"), "now/a.jpg", replace=False)
    assert (folder / "albums/2024/a.jpg").read_bytes() == b"x"
    strict = WritableOriginals(folder, follow_links=False)
    with pytest.raises(BadImageId):
        strict.place(bring(strict, b"x"), "now/b.jpg", replace=False)


def test_a_replaced_link_leaves_its_target_alone(folder: Path, place_of: WritableOriginals, bring: Bring) -> None:
    outside = folder.parent / "outside.jpg"
    outside.write_bytes(b"theirs")
    (folder / "a.jpg").symlink_to(outside)
    with pytest.raises(ImageExists):
        place_of.place(bring(place_of, b"ours"), "a.jpg", replace=False)
    place_of.place(bring(place_of, b"ours"), "a.jpg", replace=True)
    assert not (folder / "a.jpg").is_symlink()
    assert outside.read_bytes() == b"theirs"


def test_an_oddly_named_file_is_replaced(folder: Path, place_of: WritableOriginals, bring: Bring) -> None:
    for name in ("cafe\u0301.jpg", "caf\udce9.jpg", "new\nline.jpg"):
        (folder / name).write_bytes(b"old")
        place_of.place(bring(place_of, b"new"), name, replace=True)
        assert (folder / name).read_bytes() == b"new"


def test_one_of_many_gets_a_place_that_all_want(folder: Path, place_of: WritableOriginals, bring: Bring) -> None:
    def attempt(number: int) -> bool:
        try:
            place_of.place(bring(place_of, b"%d" % number), "a/b/c.jpg", replace=False)
        except ImageExists:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = [number for number, placed in enumerate(threads.map(attempt, range(40))) if placed]
    assert len(won) == 1
    assert (folder / "a/b/c.jpg").read_bytes() == b"%d" % won[0]


def test_files_come_and_go_in_folders_that_vanish_between(
    folder: Path, place_of: WritableOriginals, bring: Bring
) -> None:
    def come_and_go(number: int) -> None:
        for _ in range(50):
            place_of.place(bring(place_of, b"x"), f"a/b/{number}.jpg", replace=False)
            place_of.remove(f"a/b/{number}.jpg")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(come_and_go, range(4)))
    assert [file.image_id for file in walked(folder)] == []


def test_a_removed_file_takes_its_empty_folders_along(folder: Path, place_of: WritableOriginals, bring: Bring) -> None:
    for name in ("a/b/c/d.jpg", "a/e.jpg"):
        place_of.place(bring(place_of, b"x"), name, replace=False)
    place_of.remove("a/b/c/d.jpg")
    assert tree(folder) == {"a": None, "a/e.jpg": b"x"}
    place_of.remove("a/e.jpg")
    assert tree(folder) == {}
    assert folder.is_dir()


@pytest.mark.parametrize("image_id", ["absent", "album", "pipe", "../root/a.jpg", "", "out.jpg", "a.jpg/b"])
def test_what_is_no_original_is_not_removed(folder: Path, place_of: WritableOriginals, image_id: str) -> None:
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "album").mkdir()
    os.mkfifo(folder / "pipe")
    (folder.parent / "outside.jpg").write_bytes(b"theirs")
    (folder / "out.jpg").symlink_to(folder.parent / "outside.jpg")
    before = sorted(path.name for path in folder.iterdir())
    for delete in (place_of.remove, lambda name: place_of.discard(name, {})):
        with pytest.raises(ImageNotFound):
            delete(image_id)
    assert sorted(path.name for path in folder.iterdir() if path.name != ".imgserve") == before


@pytest.mark.parametrize("move", [move_new, move_by_link])
def test_a_move_never_replaces(tmp_path: Path, move: Callable[[int, str, int, str], None]) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            move(folder, "a", folder, "b")
        move(folder, "a", folder, "c")
        with pytest.raises(FileNotFoundError):
            move(folder, "a", folder, "d")
    finally:
        os.close(folder)
    assert tree(tmp_path) == {"b": b"b", "c": b"a"}


def test_git_ignores_the_own_folder_of_a_working_tree(folder: Path, place_of: WritableOriginals, bring: Bring) -> None:
    (folder / ".git").mkdir()
    place_of.place(bring(place_of, b"x"), "a.jpg", replace=False)
    assert (folder / ".imgserve/.gitignore").read_text() == "*\n"
