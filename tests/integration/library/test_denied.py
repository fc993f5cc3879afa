"""Files that the server may not read."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from imgserve.library.inspect import Recording
from imgserve.library.scanner import differences
from tests.library_rig import Rig, picture

pytestmark = pytest.mark.anyio


def deny(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deny a file as its mode would, which does not stop root."""
    opened = os.open

    def open_allowed(name: Any, *args: Any, **options: Any) -> int:
        if name == str(path):
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return opened(name, *args, **options)

    monkeypatch.setattr("os.open", open_allowed)


async def test_a_file_that_may_not_be_read_is_logged_once_and_listed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = rig.put("a/b.png", picture())
    with monkeypatch.context() as patch:
        deny(path, patch)
        for _ in range(2):
            assert await rig.scan() == {"a/b.png": "problem"}
        assert (await rig.ingest.record("a/b.png")).outcome is Recording.PROBLEM
        (problem,) = (await rig.catalog.problems.page()).items
    assert (problem.image_id, problem.code) == ("a/b.png", "original_denied")
    assert caplog.text.count("'a/b.png' may not be read") == 1
    assert [one.image_id async for one in differences(rig.tree, rig.catalog)] == ["a/b.png"]
    assert await rig.scan() == {"a/b.png": "created"}
    assert await rig.catalog.problems.count() == 0


@pytest.mark.parametrize("many", [True, False])
async def test_a_known_file_that_may_not_be_read_for_a_while_keeps_its_texts(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    path = rig.put("a.png", picture())
    await rig.scan()
    await rig.ingest.change("a.png", {"title": "Shoe"})

    with monkeypatch.context() as patch:
        deny(path, patch)
        assert (await rig.ingest.record("a.png", version=rig.walked()[0].version)).outcome is Recording.PROBLEM
        assert await rig.catalog.problems.count() == 1
    await (rig.scan() if many else rig.ingest.record("a.png", version=rig.walked()[0].version))
    assert await rig.catalog.problems.count() == 0
    record = await rig.catalog.images.get("a.png")
    assert record is not None
    assert record.title == "Shoe"
