"""Originals on a disk that is full, read-only or not the one of the main folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imgserve.errors import ReadOnlyOriginals, StorageFull
from imgserve.originals.writable import WritableOriginals
from tests.disks import mount
from tests.folders import walked


def test_a_full_disk_takes_nothing_and_shows_nothing(small_disk: Callable[[str], Path]) -> None:
    folder = small_disk("size=256k")
    originals = WritableOriginals(folder)
    with originals.incoming() as small:
        small.write(bytes(50_000))
        originals.place(small, "kept.jpg", replace=False)
    with originals.incoming() as large, pytest.raises(StorageFull):
        large.write(bytes(500_000))
    assert [file.image_id for file in walked(folder)] == ["kept.jpg"]
    assert not any((folder / ".imgserve/incoming").iterdir())


def test_a_disk_without_room_for_folders_keeps_none_of_them(small_disk: Callable[[str], Path]) -> None:
    folder = small_disk("size=1m,nr_inodes=8")  # of which the disk itself, .imgserve, incoming and the file take four
    originals = WritableOriginals(folder)
    with originals.incoming() as incoming, pytest.raises(StorageFull):
        originals.place(incoming, "a/b/c/d/e/f.jpg", replace=False)
    assert [path.name for path in folder.iterdir()] == [".imgserve"]


def test_a_read_only_disk_is_reported(small_disk: Callable[[str], Path]) -> None:
    folder = small_disk("size=1m")
    originals = WritableOriginals(folder)
    with originals.incoming() as incoming:
        originals.place(incoming, "a.jpg", replace=False)
    item = originals.discard("a.jpg", {})
    (folder / "b.jpg").write_bytes(b"b")
    mount("-o", "remount,ro", str(folder))
    calls: list[Callable[[], object]] = [
        originals.incoming,
        lambda: originals.discard("b.jpg", {}),
        lambda: originals.remove("b.jpg"),
        lambda: originals.trash.restore(item),
        lambda: originals.trash.destroy(item),
    ]
    for call in calls:
        with pytest.raises(ReadOnlyOriginals):
            call()
    assert [file.image_id for file in walked(folder)] == ["b.jpg"]
    assert [trashed.item for trashed in originals.trash.items()] == [item]
    assert originals.sweep() == 0


def test_a_folder_on_another_disk_is_only_read(small_disk: Callable[[str], Path]) -> None:
    other = small_disk("size=1m")
    originals = WritableOriginals(other.parent)
    (other / "a.jpg").write_bytes(b"a")
    with originals.incoming() as incoming, pytest.raises(ReadOnlyOriginals, match="another disk"):
        originals.place(incoming, "disk/b.jpg", replace=False)
    with pytest.raises(ReadOnlyOriginals, match="another disk"):
        originals.discard("disk/a.jpg", {})
    assert [path.name for path in other.iterdir()] == ["a.jpg"]
    assert originals.trash.items() == []
