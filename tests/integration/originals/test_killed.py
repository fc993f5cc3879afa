"""A process that is killed while it places, discards and restores loses nothing and shows nothing half."""

import random
import subprocess
import sys
import time
from pathlib import Path

from imgserve.originals.writable import WritableOriginals
from tests.folders import walked

ROUNDS = 60
SIZE = 30_000

WORK = """
import itertools, sys
from pathlib import Path
from imgserve.originals.writable import WritableOriginals
originals = WritableOriginals(Path(sys.argv[1]))
begin = int(sys.argv[2])
print("ready", flush=True)
for number in itertools.count(begin):
    with originals.incoming() as incoming:
        for _ in range(3):
            incoming.write(bytes([number % 256]) * 10_000)
        originals.place(incoming, "new/a/b/x.jpg", replace=True)
    item = originals.discard("old/deep/kept.jpg", {"number": number})
    originals.trash.restore(item)
"""


def kept_once(originals: WritableOriginals, folder: Path) -> bool:
    """Return whether the original that travels is in its place or in the trash; a restored one is no longer there."""
    at_place = (folder / "old/deep/kept.jpg").is_file()
    trashed = originals.trash.items()
    for item in trashed:
        assert item.image_id == "old/deep/kept.jpg"
        assert item.size == SIZE
    return at_place != (len(trashed) == 1)


def left(folder: Path, kind: str) -> list[Path]:
    """List what is left behind; a slow process may be killed before it has made the first folder."""
    return list((folder / ".imgserve" / kind).glob("*"))


def test_a_process_killed_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "old/deep").mkdir(parents=True)
    (tmp_path / "old/deep/kept.jpg").write_bytes(bytes(SIZE))
    originals = WritableOriginals(tmp_path)
    chance = random.Random(4)
    in_trash = 0
    for round_number in range(ROUNDS):
        command = [sys.executable, "-c", WORK, str(tmp_path), str(round_number * 1000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
            assert worker.stdout
            worker.stdout.readline()
            time.sleep(chance.random() * 0.05)
            worker.kill()
        assert kept_once(originals, tmp_path)
        for file in walked(tmp_path):
            data = (tmp_path / file.image_id).read_bytes()
            assert len(data) == SIZE
            assert len(set(data)) == 1
        originals.sweep()
        assert left(tmp_path, "incoming") == []
        for item in originals.trash.items():
            in_trash += 1
            originals.trash.restore(item.item)
        assert left(tmp_path, "trash") == []
        assert (tmp_path / "old/deep/kept.jpg").read_bytes() == bytes(SIZE)
    assert in_trash  # or the moments were not random enough to show anything
