"""Originals in a real folder: which names mean a file, what is told of it, and that nothing outside is reached."""

import errno
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from imgserve.errors import ImageNotFound, OriginalUnsettled, UnsupportedImage
from imgserve.formats import BY_EXTENSION
from imgserve.originals.writable import WritableOriginals
from tests.pictures import encoded, quarters
from tests.servers import settled

PICTURE = encoded(quarters(40, 30), "png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    settled(tmp_path / "root/shoe.png", PICTURE)
    settled(tmp_path / "root/deep/er/shoe.png", PICTURE)
    settled(tmp_path / "outside.png", PICTURE)
    settled(tmp_path / "root-beside/shoe.png", PICTURE)
    return tmp_path / "root"


@pytest.fixture
def originals(root: Path) -> WritableOriginals:
    return WritableOriginals(root)


def test_an_original_is_reported_by_its_file(root: Path, originals: WritableOriginals) -> None:
    seen = originals.stat("deep/er/shoe.png")
    state = (root / "deep/er/shoe.png").stat()
    assert (seen.image_id, seen.format.name, seen.width, seen.height) == ("deep/er/shoe.png", "png", 40, 30)
    assert (seen.size, seen.modified_ns) == (state.st_size, state.st_mtime_ns)
    assert seen.path == str(root / "deep/er/shoe.png")


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "gif", "tiff"])
def test_a_size_is_read_from_the_header(root: Path, originals: WritableOriginals, name: str) -> None:
    settled(root / "any name", encoded(quarters(64, 48), name))
    seen = originals.stat("any name")
    assert (seen.format.name, seen.width, seen.height) == (name, 64, 48)


def test_a_size_that_cannot_be_read_is_no_mistake(root: Path, originals: WritableOriginals) -> None:
    settled(root / "broken.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 9)
    settled(root / "drawing.svg", b"<svg/>")
    for name in ("broken.png", "drawing.svg"):
        seen = originals.stat(name)
        assert (seen.width, seen.height) == (0, 0)


def test_a_version_changes_with_time_and_size_and_with_nothing_else(root: Path, originals: WritableOriginals) -> None:
    first = originals.stat("shoe.png")
    assert originals.stat("shoe.png").version == first.version
    os.utime(root / "shoe.png", ns=(0, first.modified_ns + 1))
    touched = originals.stat("shoe.png")
    (root / "shoe.png").write_bytes(PICTURE + b"\0")
    os.utime(root / "shoe.png", ns=(0, first.modified_ns))
    longer = originals.stat("shoe.png")
    assert len({first.version, touched.version, longer.version}) == 3


def test_what_is_known_is_given_back_as_long_as_the_file_is_the_same(root: Path, originals: WritableOriginals) -> None:
    known = originals.stat("shoe.png")
    assert originals.stat("shoe.png", known) is known
    os.utime(root / "shoe.png", ns=(0, known.modified_ns + 1))
    assert originals.stat("shoe.png", known) is not known


@pytest.mark.parametrize(
    "image_id",
    [
        "",
        ".",
        "..",
        "/",
        "shoe.png/",
        "/shoe.png",
        "../outside.png",
        "deep/../shoe.png",
        "deep/./er/shoe.png",
        "deep//er/shoe.png",
        "../root/shoe.png",
        "../root-beside/shoe.png",
        "shoe.png\0",
        "\0",
        "absent.png",
        "shoe.png/more",
        "x" * 300,
        "y/" * 3000 + "z",
        os.fsdecode(b"\xe9.png"),
        "\ud800.png",
    ],
    ids=lambda image_id: repr(image_id[:24]),
)
def test_what_names_no_file_of_the_folder_is_absent(originals: WritableOriginals, image_id: str) -> None:
    with pytest.raises(ImageNotFound):
        originals.stat(image_id)


def test_what_is_no_file_is_absent_and_leaves_nothing_open(root: Path, originals: WritableOriginals) -> None:
    os.mkfifo(root / "fifo.png")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(root / "s.png"))
        before = psutil.Process().num_fds()
        for image_id in ("deep", "deep/er", "fifo.png", "s.png"):
            with pytest.raises(ImageNotFound):
                originals.stat(image_id)
        assert psutil.Process().num_fds() == before


@pytest.mark.parametrize("name", [".hidden.png", ".folder/shoe.png", "deep/.hidden.png"])
def test_what_is_hidden_is_absent_also_by_a_link(root: Path, originals: WritableOriginals, name: str) -> None:
    hidden = settled(root / name, PICTURE)
    (root / "link.png").symlink_to(hidden)
    for image_id in (name, "link.png"):
        with pytest.raises(ImageNotFound):
            originals.stat(image_id)


@pytest.mark.parametrize("target", ["../outside.png", "/etc/passwd", "/dev/zero", "link.png", "nothing", "../root"])
def test_a_link_to_elsewhere_is_absent(root: Path, originals: WritableOriginals, target: str) -> None:
    (root / "link.png").symlink_to(target)
    with pytest.raises(ImageNotFound):
        originals.stat("link.png")


def test_a_link_inside_is_followed_unless_that_is_off(root: Path, originals: WritableOriginals) -> None:
    (root / "link.png").symlink_to("deep/er/shoe.png")
    (root / "folder").symlink_to("deep")
    for image_id in ("link.png", "folder/er/shoe.png"):
        assert originals.stat(image_id).path == str(root / "deep/er/shoe.png")
        with pytest.raises(ImageNotFound):
            WritableOriginals(root, follow_links=False).stat(image_id)


def test_the_folder_itself_may_be_a_link_and_hidden(root: Path, tmp_path: Path) -> None:
    (tmp_path / ".link").symlink_to(root)
    assert WritableOriginals(tmp_path / ".link", follow_links=False).stat("shoe.png").width == 40


def test_the_whole_disk_may_be_the_folder(root: Path) -> None:
    assert WritableOriginals(Path("/")).stat(str(root / "shoe.png").removeprefix("/")).width == 40


def test_a_file_that_is_no_picture_is_unsupported_once_it_is_settled(root: Path) -> None:
    (root / "notes.png").write_bytes(b"no picture")
    with pytest.raises(OriginalUnsettled) as young:
        WritableOriginals(root, settle=60).stat("notes.png")
    assert young.value.retry_after
    with pytest.raises(UnsupportedImage):
        WritableOriginals(root, settle=0).stat("notes.png")


def test_an_empty_file_is_unsettled_while_young(root: Path) -> None:
    (root / "empty.png").touch()
    with pytest.raises(OriginalUnsettled):
        WritableOriginals(root, settle=60).stat("empty.png")
    old = time.time() - 100
    os.utime(root / "empty.png", (old, old))
    with pytest.raises(UnsupportedImage):
        WritableOriginals(root, settle=60).stat("empty.png")


def test_a_walk_gives_what_can_be_served_in_order(root: Path, originals: WritableOriginals) -> None:
    for name in ("b.jpg", "a.JPG", ".hidden.png", ".git/a.png", "notes.txt", "deep/c.webp", "no extension"):
        settled(root / name, PICTURE)
    settled(root / os.fsdecode(b"\xff.png"), PICTURE)
    assert list(originals.list()) == ["a.JPG", "b.jpg", "shoe.png", "\udcff.png", "deep/c.webp", "deep/er/shoe.png"]
    assert all(originals.stat(image_id).width == 40 for image_id in originals.list())


def test_a_folder_is_readable_while_it_is_there(root: Path, originals: WritableOriginals, tmp_path: Path) -> None:
    assert originals.readable()
    root.rename(tmp_path / "elsewhere")
    assert not originals.readable()
    assert list(originals.list()) == []
    with pytest.raises(ImageNotFound):
        originals.stat("shoe.png")


@given(image_id=st.text("./\\\0ab~%\udce9\u202e-", max_size=20) | st.text(max_size=20))
@example("shoe.png")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_name_leaves_the_folder_or_fails_in_any_other_way(
    root: Path, originals: WritableOriginals, image_id: str
) -> None:
    try:
        seen = originals.stat(image_id)
    except ImageNotFound:
        return
    assert seen.path.startswith(f"{root}/")


def test_the_files_of_one_stem_are_listed_in_the_order_of_formats(root: Path, originals: WritableOriginals) -> None:
    for name in ("boot.webp", "boot.JPG", "boot.jpg", "boot.Png", "boot.txt", "boots.png", "boot"):
        settled(root / "deep" / name, PICTURE)
    assert originals.find_stem("deep/boot") == ["deep/boot.jpg", "deep/boot.JPG", "deep/boot.webp"]
    assert originals.find_stem("shoe") == ["shoe.png"]
    assert originals.find_stem("absent/boot") == originals.find_stem("shoe.png/boot") == []


@pytest.mark.parametrize("stem", ["", "/shoe", "../outside", ".shoe", ".hidden/shoe", "deep//shoe", "sh\0oe"])
def test_a_stem_outside_is_absent(originals: WritableOriginals, stem: str) -> None:
    with pytest.raises(ImageNotFound):
        originals.find_stem(stem)


@pytest.mark.parametrize("files", [0, 3, 600])
def test_the_files_of_one_stem_are_found_in_one_folder_that_is_listed_once(
    root: Path, originals: WritableOriginals, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    for number in range(files):
        (root / f"deep/{number}").touch()
    (root / "deep/boot.PNG").touch()
    calls, real = list[str](), {name: getattr(os, name) for name in ("scandir", "listdir", "open", "stat", "lstat")}

    def counted(name: str) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            calls.append(name)
            return real[name](*given, **options)

        return call

    for name in real:
        monkeypatch.setattr(os, name, counted(name))
    assert originals.find_stem("deep/boot") == ["deep/boot.PNG"]
    monkeypatch.undo()
    path_lookups = len(root.parts)  # one for each folder above, and none for the root of the file system
    assert calls.count("scandir") == 1
    # A listing of a large folder would take long: names are looked up in it.
    assert len(calls) == 1 + path_lookups + (0 if files <= 500 else 2 * len(BY_EXTENSION))


def test_a_folder_that_cannot_be_listed_contains_every_name_that_can_be_found_in_it(
    originals: WritableOriginals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: str) -> None:
        raise PermissionError(errno.EACCES, "not listable")

    monkeypatch.setattr(os, "scandir", fail)
    assert "shoe.png" in originals.find_stem("shoe")
