"""Several folders as one: prefixes decide, the longest first, and only the main folder is written to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imgserve.errors import ImageExists, ImageNotFound, ReadOnlyOriginals
from imgserve.originals.writable import WritableOriginals
from tests.pictures import encoded, quarters
from tests.servers import settled

PICTURE = encoded(quarters(40, 30), "png")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in (
        "main/a.png",
        "main/archive/hidden.png",
        "main/archives.png",
        "main/archive/2024/hidden.png",
        "main/z.png",
        "old/b.png",
        "old/2024/hidden.png",
        "old/2025/c.png",
        "new/d.png",
    ):
        settled(tmp_path / name, PICTURE)
    return tmp_path


@pytest.fixture
def mounted(base: Path) -> WritableOriginals:
    return WritableOriginals(base / "main", {"archive": base / "old", "archive/2024": base / "new"})


IDS = ["a.png", "archive/2024/d.png", "archive/2025/c.png", "archive/b.png", "archives.png", "z.png"]


def test_all_folders_are_gone_through_as_one(mounted: WritableOriginals) -> None:
    assert sorted(mounted.list()) == IDS


@pytest.mark.parametrize("image_id", IDS)
def test_an_original_is_reported_by_its_whole_id(mounted: WritableOriginals, image_id: str) -> None:
    seen = mounted.stat(image_id)
    assert (seen.image_id, seen.width) == (image_id, 40)
    assert mounted.stat(image_id, seen) is seen


@pytest.mark.parametrize(
    "image_id",
    [
        "archive/hidden.png",
        "archive/2024/hidden.png",
        "archive",
        "archive/",
        "archive/../a.png",
        "archive/2024",
        "b.png",
    ],
)
def test_what_a_prefix_covers_is_not_there(mounted: WritableOriginals, image_id: str) -> None:
    with pytest.raises(ImageNotFound):
        mounted.stat(image_id)


def test_a_mounted_folder_that_cannot_be_read_is_left_out(base: Path) -> None:
    mounted = WritableOriginals(base / "main", {"archive": base / "absent"})
    assert list(mounted.list()) == ["a.png", "archives.png", "z.png"]
    assert mounted.readable()


@pytest.mark.parametrize("image_id", ["archive/new.png", "archive/2024/new.png", "archive/hidden.png"])
def test_what_is_not_there_is_not_there_to_be_deleted_either(mounted: WritableOriginals, image_id: str) -> None:
    with pytest.raises(ImageNotFound):
        mounted.remove(image_id)
    with pytest.raises(ImageNotFound):
        mounted.discard(image_id, {})


@pytest.mark.parametrize("image_id", ["archive/b.png", "archive/new.png", "archive/2024/new.png"])
def test_what_is_mounted_is_not_written_to(base: Path, mounted: WritableOriginals, image_id: str) -> None:
    with mounted.incoming() as incoming:
        calls: list[Callable[[], object]] = [
            lambda: mounted.check_id(image_id),
            lambda: mounted.place(incoming, image_id, replace=True),
            lambda: mounted.discard("archive/b.png", {}),
            lambda: mounted.remove("archive/b.png"),
        ]
        for call in calls:
            with pytest.raises(ReadOnlyOriginals):
                call()
    assert [path.name for path in sorted((base / "old").rglob("*.png"))] == ["hidden.png", "c.png", "b.png"]


@pytest.mark.parametrize("image_id", ["archive", "archive/2024"])
def test_no_new_image_gets_the_name_of_a_mount(base: Path, image_id: str) -> None:
    mounted = WritableOriginals(base / "main", {"archive/2024/x": base / "old"})
    with pytest.raises(ImageExists, match="folder"):
        mounted.check_id(image_id)
    with mounted.incoming() as incoming, pytest.raises(ImageExists, match="folder"):
        mounted.place(incoming, image_id, replace=False)


def test_the_main_folder_is_written_to_as_alone(base: Path, mounted: WritableOriginals) -> None:
    mounted.check_id("new/e.png")
    with mounted.incoming() as incoming:
        incoming.write(PICTURE)
        version = mounted.place(incoming, "new/e.png", replace=False)
    assert mounted.stat("new/e.png").version == version
    first, second = mounted.discard("new/e.png", {"title": "E"}), mounted.discard("a.png", {})
    assert [trashed.image_id for trashed in mounted.trash.items()] == ["new/e.png", "a.png"]
    assert mounted.trash.restore(first).sidecar == {"title": "E"}
    mounted.remove("new/e.png")
    mounted.trash.destroy(second)
    assert not (base / "main/a.png").exists()
    assert mounted.sweep() == 0


def test_nothing_is_restored_to_where_a_folder_was_mounted_since(base: Path) -> None:
    item = WritableOriginals(base / "main").discard("archive/hidden.png", {})
    mounted = WritableOriginals(base / "main", {"archive": base / "old"})
    with pytest.raises(ReadOnlyOriginals):
        mounted.trash.restore(item)
    assert mounted.trash.find(item).image_id == "archive/hidden.png"


def test_the_files_of_one_stem_are_those_of_the_folder_that_its_prefix_means(mounted: WritableOriginals) -> None:
    assert mounted.find_stem("a") == ["a.png"]
    assert mounted.find_stem("archive/b") == ["archive/b.png"]
    assert mounted.find_stem("archive/hidden") == mounted.find_stem("archive/2024/hidden") == []
    assert mounted.find_stem("archive/2024/d") == ["archive/2024/d.png"]
