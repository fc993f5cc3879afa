"""The admin key: from the settings, or created once by several starting processes, and stored only as a hash."""

import asyncio
import logging
import multiprocessing
import os
import stat
import time
from multiprocessing.queues import Queue
from pathlib import Path

import anyio
import pytest
from prometheus_client import CollectorRegistry

from imgserve.access.admin_key import KeyFileUnusableError, admin_digest, announce_admin_key
from imgserve.access.keys import KeyRing, Scope, key_digest, new_key
from imgserve.errors import Unauthorized, Unavailable
from imgserve.metrics import Metrics
from tests.access_rig import KeysInMemory, access_of

pytestmark = pytest.mark.anyio

KEY = "img_0123456789abcdef"


async def test_the_key_opens_everything_and_nothing_else_does() -> None:
    metrics = Metrics(CollectorRegistry())
    access = access_of(key_digest(KEY), metrics=metrics)
    assert {(await access.check(KEY, scope)).name for scope in Scope} == {"admin"}
    for wrong in (None, "", KEY[:-1], KEY + "x", key_digest(KEY), KEY.upper(), "\udcff"):
        with pytest.raises(Unauthorized):
            await access.check(wrong, Scope.READ)
    figure = metrics.registry.get_sample_value
    assert figure("imgserve_access_failures_total", {"reason": "missing"}) == 1
    assert figure("imgserve_access_failures_total", {"reason": "unknown"}) == 6


async def test_without_any_key_nobody_may_do_anything() -> None:
    metrics = Metrics(CollectorRegistry())
    access = access_of(KeyFileUnusableError("the disk is gone"), metrics=metrics)
    for given in (None, "", "None"):
        with pytest.raises(Unavailable, match=r"the disk is gone; set access\.admin_key"):
            await access.check(given, Scope.READ)
    assert access.state().startswith("degraded: the disk is gone; set access.admin_key")
    assert metrics.registry.get_sample_value("imgserve_access_failures_total", {"reason": "closed"}) == 3
    assert access_of(key_digest(KEY)).state() == "ok"


async def test_a_new_key_is_known_at_its_first_use_and_guesses_cost_one_look_together() -> None:
    looks = list[float]()

    class Counted(KeysInMemory):
        async def state(self) -> tuple[int, ...]:
            looks.append(time.monotonic())
            await anyio.sleep(0.01)
            return await super().state()

    stored, key = new_key("new", [Scope.READ])
    keys = Counted()
    ring = KeyRing(keys, {})
    await ring.refresh()
    keys.keys.append(stored)
    guesses = [f"{number}" for number in range(2000)]
    found = await asyncio.gather(*map(ring.look, [*guesses, stored.digest]))
    assert [caller is not None for caller in found] == [False] * 2000 + [True]
    assert [await ring.look(guess) for guess in list(ring._unknown)] == [None] * 1024
    assert len(looks) == 2
    assert looks[1] - looks[0] >= 0.1
    assert key_digest(key) == stored.digest


@pytest.mark.parametrize("setting", [KEY, f"sha256:{key_digest(KEY)}", f"sha256:{key_digest(KEY).upper()}"])
def test_the_settings_contain_the_key_or_its_hash(tmp_path: Path, setting: str) -> None:
    shown = list[str]()
    assert admin_digest(setting, tmp_path, announce=shown.append) == key_digest(KEY)
    assert not shown
    assert not list(tmp_path.iterdir())


def test_a_key_is_created_at_first_start_shown_once_and_stored_as_a_hash(tmp_path: Path) -> None:
    shown = list[str]()
    digests = {admin_digest("", tmp_path / "data", announce=shown.append) for _ in range(3)}
    (key,) = shown
    (file,) = (tmp_path / "data").iterdir()
    assert digests == {key_digest(key)}
    assert key.startswith("img_")
    assert len(key) > 40
    assert file.name == "admin-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in file.read_text()


def _begin(folder: Path, told: "Queue[tuple[str | KeyFileUnusableError, list[str]]]") -> None:
    shown = list[str]()
    told.put((admin_digest("", folder, announce=shown.append), shown))


def test_one_of_many_processes_makes_the_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    told: Queue[tuple[str | KeyFileUnusableError, list[str]]] = context.Queue()
    processes = [context.Process(target=_begin, args=(tmp_path, told)) for _ in range(8)]
    for process in processes:
        process.start()
    answers = [told.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    shown = [key for _, keys in answers for key in keys]
    assert len(shown) == 1
    assert {digest for digest, _ in answers} == {key_digest(shown[0])}
    assert [path.name for path in tmp_path.iterdir()] == ["admin-key"]


def _folder_is_a_file(folder: Path) -> None:
    folder.write_text("")


def _writable_by_others(folder: Path) -> None:
    folder.mkdir()
    (folder / "admin-key").write_text(key_digest("x"))
    (folder / "admin-key").chmod(0o666)


def _no_hash(folder: Path) -> None:
    folder.mkdir()
    (folder / "admin-key").write_text("")


def _link(folder: Path) -> None:
    folder.mkdir()
    (folder / "other").write_text(key_digest("x"))
    (folder / "admin-key").symlink_to("other")


def _fifo(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "admin-key")


@pytest.mark.parametrize("spoil", [_folder_is_a_file, _writable_by_others, _no_hash, _link, _fifo])
def test_the_api_is_closed_if_no_key_can_be_stored_and_the_log_names_the_setting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: object
) -> None:
    assert callable(spoil)
    spoil(tmp_path / "data")
    shown = list[str]()
    with caplog.at_level(logging.ERROR):
        error = admin_digest("", tmp_path / "data", announce=shown.append)
    assert shown == []
    assert isinstance(error, KeyFileUnusableError)
    assert str(tmp_path) not in str(error)
    assert caplog.text.count("set access.admin_key") == 1
    assert str(tmp_path / "data") in caplog.text


def test_a_new_key_is_printed_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    announce_admin_key(KEY)
    told = capsys.readouterr()
    assert (told.out, KEY in told.err) == ("", True)
