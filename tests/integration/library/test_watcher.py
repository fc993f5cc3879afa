"""Real folders and real events; the ingest service is a double that keeps its records in memory."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from imgserve.errors import Busy, CatalogUnavailable, OriginalUnsettled
from imgserve.library.changes import ChangeQueue, CircuitBreaker, DeletionQueue
from imgserve.library.watcher import WatchRecorder
from imgserve.metrics import Metrics
from imgserve.model import ImageRecord
from imgserve.originals.tree import Look, OriginalsTree
from tests.watching import PATIENCE, Door, Watched, image, watching

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "originals"
    (folder / "old").mkdir(parents=True)
    (folder / "old" / "a.jpg").write_bytes(image("a"))
    return folder


@pytest.fixture
async def watched(folder: Path) -> AsyncIterator[Watched]:
    async with watching(folder) as parts:
        yield parts


async def test_what_lies_there_at_the_start_is_recorded_once(folder: Path) -> None:
    async with watching(folder) as first:
        assert list(first.ingest.images.rows) == ["old/a.jpg"]
        second = first.another(folder / ".imgserve" / "second.lock")
        async with anyio.create_task_group() as group:
            group.start_soon(second.run)
            await first.until(lambda: second.idle)
            group.cancel_scope.cancel()
        assert first.ingest.read == ["old/a.jpg"]


async def test_a_new_a_replaced_and_a_deleted_file_are_reported(watched: Watched, folder: Path) -> None:
    (folder / "b.jpg").write_bytes(image("b"))
    await watched.until(lambda: "b.jpg" in watched.ingest.images.rows)
    before = watched.ingest.images.rows["b.jpg"]
    (folder / "b.jpg").write_bytes(image("other"))
    await watched.until(lambda: watched.ingest.images.rows["b.jpg"] != before)
    (folder / "b.jpg").unlink()
    await watched.until(lambda: "b.jpg" not in watched.ingest.images.rows)
    await watched.in_step()


async def test_a_file_of_a_new_folder_is_recorded_however_deep(watched: Watched, folder: Path) -> None:
    deep = folder / "x" / "y" / "z"
    deep.mkdir(parents=True)
    (deep / "1.jpg").write_bytes(image("1"))
    await watched.in_step()
    (deep / "2.jpg").write_bytes(image("2"))
    await watched.in_step()
    assert {"x/y/z/1.jpg", "x/y/z/2.jpg"} <= set(watched.ingest.images.rows)


async def test_a_folder_moved_in_as_a_whole_is_walked(watched: Watched, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside" / "inner").mkdir(parents=True)
    for name in ("1.jpg", "inner/2.jpg"):
        (tmp_path / "outside" / name).write_bytes(image(name))
    (tmp_path / "outside").rename(folder / "inside")
    await watched.until(lambda: {"inside/1.jpg", "inside/inner/2.jpg"} <= set(watched.ingest.images.rows))


@pytest.mark.parametrize("target", ["0new", "znew"])
async def test_the_records_of_a_renamed_folder_follow_it(watched: Watched, folder: Path, target: str) -> None:
    _entitle(watched, "old/a.jpg")
    (folder / "old").rename(folder / target)
    await watched.in_step()
    assert list(watched.ingest.images.rows) == [f"{target}/a.jpg"]
    assert _title(watched, f"{target}/a.jpg") == "kept"


async def test_the_records_of_files_renamed_one_by_one_follow_them(watched: Watched, folder: Path) -> None:
    for number in range(50):
        (folder / f"{number}.jpg").write_bytes(image(str(number)))
    await watched.in_step()
    watched.ingest.seconds = 0.1
    for number in range(50):
        _entitle(watched, f"{number}.jpg")
        (folder / f"{number}.jpg").rename(folder / f"renamed-{number}.jpg")
    await watched.in_step()
    assert {_title(watched, f"renamed-{number}.jpg") for number in range(50)} == {"kept"}


async def test_a_rename_while_nobody_watched_is_one(folder: Path) -> None:
    async with watching(folder) as watched:
        _entitle(watched, "old/a.jpg")
    (folder / "old" / "a.jpg").rename(folder / "z.jpg")
    async with anyio.create_task_group() as group:
        group.start_soon(watched.watcher.run)
        await watched.until(lambda: list(watched.ingest.images.rows) == ["z.jpg"])
        group.cancel_scope.cancel()
    assert _title(watched, "z.jpg") == "kept"


async def test_a_folder_that_is_deleted_or_moved_away_is_forgotten(
    watched: Watched, folder: Path, tmp_path: Path
) -> None:
    (folder / "more").mkdir()
    for number in range(30):
        (folder / "more" / f"{number}.jpg").write_bytes(image(str(number)))
    (folder / "more" / "text.txt").write_text("no image")
    await watched.in_step()
    (folder / "more").rename(tmp_path / "away")
    await watched.until(lambda: list(watched.ingest.versions) == ["old/a.jpg"])


@pytest.mark.parametrize("name", [".hidden.jpg", ".cache/a.jpg", "old/.part/b.jpg", ".imgserve/incoming/x.jpg"])
async def test_hidden_files_are_passed_over(watched: Watched, folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(image())
    (folder / "shown.jpg").write_bytes(image())
    await watched.until(lambda: "shown.jpg" in watched.ingest.images.rows)
    await watched.in_step()
    assert watched.ingest.read == ["old/a.jpg", "shown.jpg"]


@pytest.mark.parametrize("past", [False, True])
async def test_a_file_that_is_being_written_is_waited_for(watched: Watched, folder: Path, past: bool) -> None:
    data = image("piece " * 100)
    with (folder / "slow.jpg").open("wb", buffering=0) as file:
        for start in range(0, len(data), 60):
            file.write(data[start : start + 60])
            if past:
                os.utime(file.fileno(), (10**9, 10**9))
            await anyio.sleep(0.15)
    await watched.until(lambda: "slow.jpg" in watched.ingest.images.rows)
    assert watched.ingest.read.count("slow.jpg") == 1
    assert "slow.jpg" not in watched.ingest.problems.rows


async def test_a_file_that_is_written_with_long_pauses_is_recorded_in_the_end(watched: Watched, folder: Path) -> None:
    with (folder / "slower.jpg").open("wb", buffering=0) as file:
        for piece in (b"image ", b"and more ", b"end"):
            file.write(piece)
            os.utime(file.fileno(), (10**9, 10**9))
            await anyio.sleep(0.8)
    await watched.in_step()
    assert "slower.jpg" in watched.ingest.images.rows


async def test_a_copy_under_a_temporary_name_is_recorded_under_its_own(watched: Watched, folder: Path) -> None:
    (folder / "old" / ".a.jpg.Xy12").write_bytes(image("new"))
    (folder / "old" / ".a.jpg.Xy12").rename(folder / "old" / "a.jpg")
    await watched.until(lambda: len(watched.ingest.read) == 2)
    await watched.in_step()
    assert watched.ingest.read == ["old/a.jpg", "old/a.jpg"]


async def test_busy_workers_and_unsettled_files_are_requested_again(watched: Watched, folder: Path) -> None:
    errors = [Busy(retry_after=0), OriginalUnsettled(retry_after=0), RuntimeError("by accident")]
    watched.ingest.fail = lambda _image_id: errors.pop() if errors else None
    (folder / "b.jpg").write_bytes(image("b"))
    await watched.until(lambda: "b.jpg" in watched.ingest.images.rows)
    assert not errors


async def test_changes_wait_for_a_catalog_that_is_away(watched: Watched, folder: Path) -> None:
    watched.ingest.fail = lambda _image_id: CatalogUnavailable()
    for number in range(20):
        (folder / f"{number}.jpg").write_bytes(image(str(number)))
    await watched.until(lambda: watched.watcher.state == "degraded: changes wait for the catalog")
    await anyio.sleep(1.5)
    assert set(watched.ingest.images.rows) == {"old/a.jpg"}
    watched.ingest.fail = lambda _image_id: None
    await watched.in_step()
    assert len(watched.ingest.images.rows) == 21
    await watched.until(lambda: watched.watcher.state == "ok")


async def test_a_catalog_that_comes_back_empty_is_filled_again(watched: Watched, folder: Path) -> None:
    watched.ingest.fail = lambda _image_id: CatalogUnavailable()
    (folder / "b.jpg").write_bytes(image("b"))
    await watched.until(lambda: watched.watcher.state != "ok")
    watched.ingest.images.rows.clear()
    watched.ingest.fail = lambda _image_id: None
    await watched.in_step()
    assert set(watched.ingest.images.rows) == {"old/a.jpg", "b.jpg"}


async def test_a_catalog_that_can_only_be_read_is_reported_once(
    watched: Watched, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched.ingest.fail = lambda _image_id: CatalogUnavailable()
    (folder / "b.jpg").write_bytes(image("b"))
    await watched.until(lambda: watched.watcher.state != "ok")
    await anyio.sleep(2.5)  # scans, which only read, succeed meanwhile
    assert watched.watcher.state != "ok"
    watched.ingest.fail = lambda _image_id: None
    await watched.in_step()
    await watched.until(lambda: watched.watcher.state == "ok")
    assert caplog.text.count("the catalog cannot be used") == caplog.text.count("can be used again") == 1


async def test_many_files_at_once_are_recorded_a_few_at_a_time(watched: Watched, folder: Path) -> None:
    watched.ingest.seconds = 0.001
    (folder / "many").mkdir()
    for number in range(2000):
        (folder / "many" / f"{number}.jpg").write_bytes(image(str(number)))
    await watched.in_step()
    assert watched.ingest.most_at_once <= 3
    assert max(watched.ingest.batches) <= 50
    assert len(watched.ingest.read) == len(set(watched.ingest.read)) == 2001


async def test_no_image_is_a_problem_and_counted(watched: Watched, folder: Path) -> None:
    (folder / "text.txt").write_text("no image")
    await watched.until(lambda: "text.txt" in watched.ingest.problems.rows)
    registry = watched.metrics.registry
    await watched.until(lambda: registry.get_sample_value("imgserve_watch_problems_total") == 1)


async def test_names_that_are_no_text_are_recorded_too(watched: Watched, folder: Path) -> None:
    (folder / "before.jpg").write_bytes(image("before"))
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(image("odd"))
    (folder / "after.jpg").write_bytes(image("after"))
    await watched.in_step()
    assert os.fsdecode(b"caf\xe9.jpg") in watched.ingest.images.rows
    (folder / "later.jpg").write_bytes(image("later"))
    await watched.in_step()


async def test_a_lost_event_is_caught_by_the_slow_scan(folder: Path) -> None:
    async with watching(folder, rescan=1.0) as watched:
        watched.watcher._watch._all._report = lambda _changes: None  # type: ignore[union-attr]
        (folder / "b.jpg").write_bytes(image("b"))
        await watched.until(lambda: "b.jpg" in watched.ingest.images.rows)


class _OddTree(OriginalsTree):
    """A tree in which one file has a version in no known form."""

    def look(self, image_id: str) -> Look:
        look = super().look(image_id)
        return replace(look, version="odd") if image_id == "odd.jpg" else look


async def test_a_version_in_no_known_form_fails_no_other_file_of_its_batch(folder: Path) -> None:
    names = [*(f"{number}.jpg" for number in range(40)), "odd.jpg"]
    for name in names:
        (folder / name).write_bytes(image(name))
    tree, changes, breaker = _OddTree({"": folder}), ChangeQueue(), CircuitBreaker()
    ingest = Door(tree)
    service: Any = ingest
    deletions = DeletionQueue(changes, tree, service, service, breaker)
    recorder = WatchRecorder(changes, deletions, tree, service, breaker, Metrics(CollectorRegistry()))
    await anyio.sleep(0.5)  # until the files have settled, so that they are recorded together
    for name in names:
        changes.add(name)
    async with anyio.create_task_group() as group:
        group.start_soon(recorder.run)
        with anyio.fail_after(PATIENCE):
            while changes:  # noqa: ASYNC110  nothing reports that a file is recorded
                await anyio.sleep(0.02)
        group.cancel_scope.cancel()
    assert max(ingest.batches) > 1
    assert set(ingest.images.rows) == set(names)


def _entitle(watched: Watched, image_id: str) -> None:
    record = watched.ingest.images.rows[image_id]
    assert isinstance(record, ImageRecord)
    watched.ingest.images.rows[image_id] = replace(record, title="kept")


def _title(watched: Watched, image_id: str) -> str:
    record = watched.ingest.images.rows[image_id]
    assert isinstance(record, ImageRecord)
    return record.title
