"""Folders in turmoil, and folders that go away: in the end, what is known is what lies there."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from tests.watching import PATIENCE, Watched, image, watching

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "originals"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(image("a"))
    return folder


class _Storm:
    """Random changes of files and folders below one folder, by a thread of its own."""

    def __init__(self, folder: Path, outside: Path, seed: int) -> None:
        self._folder, self._outside, self._chance = folder, outside, random.Random(seed)
        self._number = 0

    def blow(self, rounds: int) -> None:
        changes = (self._create, self._create, self._folders, self._rename, self._rename, self._delete, self._away)
        for _ in range(rounds):
            self._chance.choice(changes)()

    def _some(self, *, folders: bool) -> Path | None:
        found = list[str]()
        for place, inner, files in os.walk(self._folder):  # rglob takes longer than the watcher itself
            inner[:] = [name for name in inner if not name.startswith(".")]
            found += [f"{place}/{name}" for name in (inner if folders else files)]
        return Path(self._chance.choice(found)) if found else None

    def _new_place(self) -> Path:
        self._number += 1
        return (self._some(folders=True) or self._folder) / f"{self._number}{self._chance.choice(['', '.jpg', '-x'])}"

    def _create(self) -> None:
        self._new_place().write_bytes(image(str(self._chance.random())))

    def _folders(self) -> None:
        made = self._new_place() / "inner"
        made.mkdir(parents=True)
        (made / "a.jpg").write_bytes(image(str(self._chance.random())))

    def _rename(self) -> None:
        chosen, place = self._some(folders=self._chance.random() < 0.5), self._new_place()
        if chosen is not None and not place.is_relative_to(chosen):
            chosen.rename(place)

    def _delete(self) -> None:
        chosen = self._some(folders=self._chance.random() < 0.2)
        if chosen is not None:
            shutil.rmtree(chosen) if chosen.is_dir() else chosen.unlink()

    def _away(self) -> None:
        """Move a folder out, change it where nobody looks, and move it in again elsewhere."""
        if (chosen := self._some(folders=True)) is None:
            return
        chosen.rename(self._outside / "away")
        (self._outside / "away" / f"{self._chance.random()}.jpg").write_bytes(image(str(self._chance.random())))
        (self._outside / "away").rename(self._new_place())


@pytest.mark.parametrize("seed", range(6))
async def test_after_a_storm_everything_is_in_step(folder: Path, tmp_path: Path, seed: int) -> None:
    async with watching(folder) as watched:
        storm = _Storm(folder, tmp_path, seed)
        for _ in range(5):
            await to_thread.run_sync(storm.blow, 100)
            await anyio.sleep(storm._chance.random())
        await watched.in_step()
        # And it still hears of everything.
        for path in [folder, *(one for one in folder.rglob("[!.]*") if one.is_dir())]:
            (path / "last.jpg").write_bytes(image(str(path)))
        await watched.in_step()


async def test_nothing_is_forgotten_while_the_folder_is_away(folder: Path, tmp_path: Path) -> None:
    async with watching(folder) as watched:
        folder.rename(tmp_path / "elsewhere")
        await watched.until(lambda: watched.watcher.state.startswith("degraded: no files in"))
        assert watched.watcher.state.endswith("is its disk mounted?")
        await anyio.sleep(1.5)
        assert set(watched.ingest.images.rows) == {"a.jpg"}
        (tmp_path / "elsewhere" / "b.jpg").write_bytes(image("b"))
        (tmp_path / "elsewhere").rename(folder)
        await watched.until(lambda: watched.watcher.state == "ok")
        await watched.in_step()
        assert set(watched.ingest.images.rows) == {"a.jpg", "b.jpg"}


async def test_an_empty_folder_in_its_place_is_taken_for_a_disk_not_mounted(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = tmp_path / "lock"
    async with watching(folder, lock=lock) as watched:
        folder.rename(tmp_path / "elsewhere")
        folder.mkdir()
        await watched.until(lambda: "is a disk not mounted?" in caplog.text)
        await anyio.sleep(1.0)
        assert set(watched.ingest.images.rows) == {"a.jpg"}
        assert watched.watcher.state.startswith("degraded: no files in")
        (folder / "new.jpg").write_bytes(image("new"))
        await watched.until(lambda: "new.jpg" in watched.ingest.images.rows)


async def test_what_is_deleted_one_by_one_is_forgotten_to_the_last(folder: Path) -> None:
    async with watching(folder) as watched:
        (folder / "a.jpg").unlink()
        await watched.until(lambda: not watched.ingest.images.rows)
        assert watched.watcher.state == "ok"


async def test_mounted_folders_are_watched_under_their_prefix(folder: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    (mounted / "1.jpg").write_bytes(image("1"))
    (folder / "far").mkdir()
    (folder / "far" / "covered.jpg").write_bytes(image("covered"))
    async with watching(folder, mounts={"far": mounted}) as watched:
        assert set(watched.ingest.images.rows) == {"a.jpg", "far/1.jpg"}
        (mounted / "2.jpg").write_bytes(image("2"))
        await watched.until(lambda: "far/2.jpg" in watched.ingest.images.rows)
        mounted.rename(tmp_path / "unmounted")
        await watched.until(lambda: watched.watcher.state.startswith("degraded"))
        (folder / "b.jpg").write_bytes(image("b"))
        await watched.until(lambda: "b.jpg" in watched.ingest.images.rows)
        assert {"far/1.jpg", "far/2.jpg"} <= set(watched.ingest.images.rows)


async def test_a_link_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.jpg").write_bytes(image("secret"))
    (folder / "linked").symlink_to(tmp_path / "secret")
    async with watching(folder) as watched:
        (tmp_path / "secret" / "t.jpg").write_bytes(image("secret"))
        (folder / "b.jpg").write_bytes(image("b"))
        await watched.until(lambda: "b.jpg" in watched.ingest.images.rows)
        assert set(watched.ingest.images.rows) == {"a.jpg", "b.jpg"}


async def test_another_process_takes_over_when_the_one_that_watches_is_killed(folder: Path) -> None:
    lock = folder / ".imgserve" / "watch.lock"
    lock.parent.mkdir()
    holder = await anyio.open_process(
        [sys.executable, "-c", _HOLD, str(lock)], stdout=subprocess.PIPE, stderr=None, env=dict(os.environ)
    )
    assert holder.stdout is not None
    assert (await holder.stdout.receive()).startswith(b"held")
    watched = Watched({"": folder}, lock)
    async with anyio.create_task_group() as group:
        group.start_soon(watched.watcher.run)
        await anyio.sleep(1.0)
        assert not watched.ingest.read
        assert watched.watcher.state == "ok"
        holder.kill()
        await watched.in_step()
        (folder / "b.jpg").write_bytes(image("b"))
        await watched.until(lambda: "b.jpg" in watched.ingest.images.rows)
        group.cancel_scope.cancel()
    await holder.aclose()


_HOLD = """
import sys, time
from pathlib import Path
from imgserve.cache.locks import LeaderLock
janitor = LeaderLock(Path(sys.argv[1]))
assert janitor.acquire()
print("held", flush=True)
time.sleep(600)
"""


async def test_a_lock_file_that_is_removed_is_made_again(folder: Path) -> None:
    async with watching(folder) as watched:
        shutil.rmtree(folder / ".imgserve")
        await watched.until((folder / ".imgserve" / "watch.lock").exists)
        await watched.until(lambda: watched.watcher.idle)
        (folder / "b.jpg").write_bytes(image("b"))
        await watched.until(lambda: "b.jpg" in watched.ingest.images.rows)


async def test_a_flood_of_changes_is_looked_through_once_more(folder: Path) -> None:
    async with watching(folder) as watched:
        scans = watched.metrics.registry.get_sample_value("imgserve_watch_scan_seconds_count") or 0
        watched.watcher._watch._flood = True
        watched.watcher._watch._reported.set()
        registry = watched.metrics.registry
        await watched.until(lambda: (registry.get_sample_value("imgserve_watch_scan_seconds_count") or 0) > scans)


async def test_more_than_may_wait_is_found_by_a_scan(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgserve.library.watcher._MOST", 10)
    async with watching(folder) as watched:
        for number in range(200):
            (folder / f"{number}.jpg").write_bytes(image(str(number)))
        await watched.until(lambda: len(watched.ingest.images.rows) == 201)


@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_beyond_the_limits_of_the_system_folders_are_looked_through(folder: Path, limit: str) -> None:
    for number in range(5):
        (folder / str(number)).mkdir()
    enter = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*enter, "test", "-w", f"/proc/sys/user/{limit}"], check=False).returncode:
        pytest.skip("this system gives no namespace of its own to a test")
    script = f'echo 0 > /proc/sys/user/{limit} && exec "$0" -c "$1" "$2"'
    done = subprocess.run(
        [*enter, "sh", "-c", script, sys.executable, _POLL, str(folder)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("raise fs.inotify.max_user_watches") == 1


_POLL = """
import asyncio, sys
from pathlib import Path
from tests.watching import image, watching

async def main():
    folder = Path(sys.argv[1])
    async with watching(folder) as watched:
        assert watched.watcher.state.startswith("degraded: the system does not report"), watched.watcher.state
        (folder / "3" / "b.jpg").write_bytes(image("b"))
        await watched.until(lambda: "3/b.jpg" in watched.ingest.images.rows)

asyncio.run(main())
"""
