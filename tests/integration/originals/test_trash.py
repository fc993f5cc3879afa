"""What is discarded can be restored, never over something else; what is half there is swept and not shown."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imgserve.errors import ImageExists, ImageNotFound, TrashItemNotFound
from imgserve.originals.incoming import ABANDONED_SECONDS, Incoming
from imgserve.originals.writable import WritableOriginals
from tests.folders import walked
from tests.servers import settled

Bring = Callable[[WritableOriginals, bytes], Incoming]
ABSENT = "20260101T000000000000Z-000000000000"


def items(folder: Path) -> list[Path]:
    return sorted((folder / ".imgserve/trash").iterdir())


@pytest.mark.parametrize("image_id", ["a.jpg", "a/b/c.jpg", "caf\udce9/cafe\u0301\n.jpg"])
def test_a_discarded_original_comes_back_as_it_was(folder: Path, place_of: WritableOriginals, image_id: str) -> None:
    state = settled(folder / image_id, b"bytes").stat()
    item = place_of.discard(image_id, {"title": "Ä \udce9", "tags": ["x"]})
    assert [path.name for path in folder.iterdir()] == [".imgserve"]
    with pytest.raises(ImageNotFound):
        place_of.stat(image_id)
    trashed = place_of.trash.restore(item)
    assert (trashed.item, trashed.image_id, trashed.size) == (item, image_id, 5)
    assert trashed.sidecar == {"title": "Ä \udce9", "tags": ["x"]}
    assert abs(datetime.now(UTC) - trashed.deleted) < timedelta(minutes=1)
    assert (folder / image_id).read_bytes() == b"bytes"
    assert (folder / image_id).stat().st_mtime_ns == state.st_mtime_ns
    assert items(folder) == []


def test_the_trash_is_listed_by_age(folder: Path, place_of: WritableOriginals) -> None:
    assert place_of.trash.items() == []
    names = [f"{number}.jpg" for number in (3, 1, 2)]
    found = []
    for name in names:
        settled(folder / name, b"x")
        found.append(place_of.discard(name, {}))
    assert [trashed.image_id for trashed in place_of.trash.items()] == names
    assert [trashed.item for trashed in place_of.trash.items()] == found == sorted(found)
    assert place_of.trash.find(found[1]) == place_of.trash.items()[1]


def test_one_name_can_be_in_the_trash_more_than_once(folder: Path, place_of: WritableOriginals) -> None:
    found = []
    for data in (b"one", b"two"):
        settled(folder / "a.jpg", data)
        found.append(place_of.discard("a.jpg", {}))
    place_of.trash.restore(found[0])
    assert (folder / "a.jpg").read_bytes() == b"one"
    with pytest.raises(ImageExists):
        place_of.trash.restore(found[1])
    assert (folder / "a.jpg").read_bytes() == b"one"
    assert [trashed.item for trashed in place_of.trash.items()] == found[1:]


def test_nothing_is_restored_below_a_file(folder: Path, place_of: WritableOriginals) -> None:
    settled(folder / "a/b.jpg", b"x")
    item = place_of.discard("a/b.jpg", {})
    settled(folder / "a", b"y")
    with pytest.raises(ImageExists, match="is a file"):
        place_of.trash.restore(item)
    assert [trashed.item for trashed in place_of.trash.items()] == [item]


def test_a_destroyed_item_is_gone(folder: Path, place_of: WritableOriginals) -> None:
    settled(folder / "a.jpg", b"x")
    item = place_of.discard("a.jpg", {})
    place_of.trash.destroy(item)
    assert items(folder) == []
    for call in (place_of.trash.destroy, place_of.trash.restore, place_of.trash.find):
        with pytest.raises(TrashItemNotFound):
            call(item)


@pytest.mark.parametrize("item", ["", "..", "../incoming", ABSENT, ABSENT + "/original", ABSENT + "\n", "a\0b"])
def test_a_name_that_is_no_item_is_not_found(folder: Path, place_of: WritableOriginals, item: str) -> None:
    for _ in range(2):
        for call in (place_of.trash.destroy, place_of.trash.restore, place_of.trash.find):
            with pytest.raises(TrashItemNotFound):
                call(item)
        settled(folder / "a.jpg", b"x")
        place_of.discard("a.jpg", {})


@pytest.mark.parametrize("missing", ["record.json", "original"])
def test_half_an_item_is_hidden_and_can_be_destroyed(folder: Path, place_of: WritableOriginals, missing: str) -> None:
    settled(folder / "a.jpg", b"x")
    item = place_of.discard("a.jpg", {})
    (folder / ".imgserve/trash" / item / missing).unlink()
    assert place_of.trash.items() == []
    with pytest.raises(TrashItemNotFound):
        place_of.trash.restore(item)
    place_of.trash.destroy(item)
    assert items(folder) == []


def test_a_sweep_takes_records_without_original_and_nothing_else(folder: Path, place_of: WritableOriginals) -> None:
    for name in ("whole.jpg", "half.jpg", "recordless.jpg"):
        settled(folder / name, b"x")
    whole, half, recordless = (place_of.discard(name, {}) for name in ("whole.jpg", "half.jpg", "recordless.jpg"))
    trash = folder / ".imgserve/trash"
    (trash / half / "original").unlink()
    (trash / recordless / "record.json").unlink()
    (trash / ABSENT).mkdir()
    (trash / "foreign").mkdir()
    assert place_of.sweep() == 2
    assert [path.name for path in items(folder)] == [whole, recordless, "foreign"]


def test_a_sweep_takes_nothing_that_others_are_discarding(folder: Path, place_of: WritableOriginals) -> None:
    def come_and_go(number: int) -> None:
        settled(folder / f"{number}/a.jpg", b"x")
        for _ in range(60):
            place_of.trash.restore(place_of.discard(f"{number}/a.jpg", {}))

    with ThreadPoolExecutor(4) as threads:
        working = [threads.submit(come_and_go, number) for number in range(3)]
        while not all(work.done() for work in working):
            place_of.sweep()
        for work in working:
            work.result()
    assert [file.image_id for file in walked(folder)] == ["0/a.jpg", "1/a.jpg", "2/a.jpg"]
    assert items(folder) == []


def test_what_somebody_put_into_an_item_is_left_alone(folder: Path, place_of: WritableOriginals) -> None:
    settled(folder / "a.jpg", b"x")
    item = place_of.discard("a.jpg", {})
    note = settled(folder / ".imgserve/trash" / item / "note", b"keep")
    place_of.trash.destroy(item)
    assert place_of.sweep() == 0
    assert place_of.trash.items() == []
    assert note.read_bytes() == b"keep"


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"[]",
        b"{}",
        json.dumps({"image_id": "../x", "deleted": "2026-01-01T00:00:00+00:00", "size": 1, "sidecar": {}}).encode(),
        json.dumps({"image_id": "x", "deleted": "yesterday", "size": 1, "sidecar": {}}).encode(),
    ],
)
def test_a_record_that_was_tampered_with_restores_nothing(
    folder: Path, place_of: WritableOriginals, record: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    settled(folder / "a.jpg", b"x")
    item = place_of.discard("a.jpg", {})
    (folder / ".imgserve/trash" / item / "record.json").write_bytes(record)
    assert place_of.trash.items() == []
    assert "damaged" in caplog.text
    with pytest.raises(TrashItemNotFound):
        place_of.trash.restore(item)
    assert not (folder.parent / "x").exists()


def test_a_sidecar_that_cannot_be_written_leaves_the_original(folder: Path, place_of: WritableOriginals) -> None:
    settled(folder / "a.jpg", b"x")
    with pytest.raises(TypeError):
        place_of.discard("a.jpg", {"when": datetime.now(UTC)})
    assert (folder / "a.jpg").exists()
    assert place_of.sweep() == 0


def test_a_link_is_discarded_as_a_link(folder: Path, place_of: WritableOriginals) -> None:
    settled(folder / "real.jpg", b"real")
    (folder / "link.jpg").symlink_to("real.jpg")
    item = place_of.discard("link.jpg", {})
    assert (folder / "real.jpg").read_bytes() == b"real"
    place_of.trash.restore(item)
    assert (folder / "link.jpg").readlink() == Path("real.jpg")


def test_own_folders_that_are_links_are_not_followed(folder: Path, place_of: WritableOriginals) -> None:
    settled(folder / "a.jpg", b"x")
    outside = folder.parent / "outside"
    outside.mkdir()
    (folder / ".imgserve").symlink_to(outside)
    for call in (lambda: place_of.discard("a.jpg", {}), place_of.incoming):
        with pytest.raises(Exception, match="cannot be written"):
            call()
    assert not any(outside.iterdir())


LEFT = """
import os, sys
from pathlib import Path
from imgserve.originals.writable import WritableOriginals
incoming = WritableOriginals(Path(sys.argv[1])).incoming()
incoming.write(b"x")
print(incoming.path, flush=True)
sys.stdin.read()
"""


def test_a_sweep_takes_what_a_dead_process_was_writing(folder: Path, place_of: WritableOriginals, bring: Bring) -> None:
    mine = bring(place_of, b"x")
    with subprocess.Popen(
        [sys.executable, "-c", LEFT, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        theirs = Path(other.stdout.readline().strip())
        old = time.time() - 2 * ABANDONED_SECONDS
        os.utime(theirs, (old, old))
        assert place_of.sweep() == 0
        other.kill()
    assert theirs.exists()
    assert place_of.sweep() == 1
    assert not theirs.exists()
    assert mine.path.exists()


FORBIDDEN = """
import os, sys
from pathlib import Path
from imgserve.errors import ReadOnlyOriginals
from imgserve.originals.writable import WritableOriginals
from imgserve.originals.tree import OriginalsTree
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    # Root may do everything.
    os.setgroups([])
    os.setuid(65534)
originals = WritableOriginals(Path("root"))
for call in (originals.incoming, lambda: originals.discard("a.jpg", {}), lambda: originals.remove("a.jpg")):
    try:
        call()
    except ReadOnlyOriginals:
        print("refused")
print([file.image_id for file in OriginalsTree({"": Path("root")}).walk("")])
"""


def test_without_permission_nothing_is_written_and_what_was_not_seen_is_reported() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "root"
        settled(folder / "a.jpg", b"x")
        (folder / "closed").mkdir(mode=0)
        folder.chmod(0o555)
        Path(name).chmod(0o755)  # another account has to reach it
        command = [sys.executable, "-c", FORBIDDEN, name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        folder.chmod(0o755)
        assert done.stdout.splitlines() == [*["refused"] * 3, "['a.jpg']"], done.stderr
        assert "'closed/' in the folder of originals cannot be read" in done.stderr
        assert sorted(path.name for path in folder.iterdir()) == ["a.jpg", "closed"]
