"""Folders and a catalog side by side, in every order of odd names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgserve.library.scanner import differences
from imgserve.originals.tree import OriginalsTree
from tests.catalogs import record
from tests.watching import Door

pytestmark = pytest.mark.anyio

_NAMES = st.lists(
    st.sampled_from(["a", "a.jpg", "a-b", "b", "\U0001f600", "é", "\udce9", "\uffff"]), min_size=1, max_size=3
)
_IDS = st.sets(_NAMES.map("/".join), max_size=12)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _found(tree: OriginalsTree, ingest: Door, folder: str = "") -> dict[str, bool]:
    catalog: Any = ingest
    return {one.image_id: one.version is not None async for one in differences(tree, catalog, folder)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(lying=_IDS, known=_IDS)
async def test_each_id_of_one_side_alone_is_a_difference(
    tmp_path_factory: pytest.TempPathFactory, lying: set[str], known: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("originals")
    tree = OriginalsTree({"": folder})
    there = {image_id for image_id in lying if _put(folder, image_id)}
    ingest = Door(tree)
    versions = {file.image_id: file.version for file in tree.walk("")}
    for image_id in known:
        ingest.images.rows[image_id] = record(image_id, version=versions.get(image_id, "1_1") + "_focal")
    assert set(versions) == there
    assert await _found(tree, ingest) == {one: one in there for one in there ^ known}


def _put(folder: Path, image_id: str) -> bool:
    """Put a file there, unless a file is in the way or it would be in the way."""
    path = folder / image_id
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return False
    return True


@pytest.mark.parametrize(
    ("folder", "wanted"),
    [("", {"a.jpg": True, "gone.jpg": False}), ("m/n", {"m/n/b.jpg": True, "m/n/gone.jpg": False}), ("m", {})],
)
async def test_a_mounted_folder_is_compared_by_itself(tmp_path: Path, folder: str, wanted: Mapping[str, bool]) -> None:
    main, mounted = tmp_path / "main", tmp_path / "mounted"
    (main / "m" / "n").mkdir(parents=True)
    mounted.mkdir()
    for path in (main / "a.jpg", main / "m" / "n" / "covered.jpg", mounted / "b.jpg"):
        path.write_bytes(b"")
    tree = OriginalsTree({"": main, "m/n": mounted})
    ingest = Door(tree)
    for image_id in ("gone.jpg", "m/n/gone.jpg"):
        ingest.images.rows[image_id] = record(image_id)
    assert await _found(tree, ingest, folder) == wanted


def test_nothing_is_gone_from_a_folder_that_is_another_one(tmp_path: Path) -> None:
    folder = tmp_path / "originals"
    folder.mkdir()
    tree = OriginalsTree({"": folder})
    assert not tree.is_gone("a.jpg"), "nothing was remembered"
    tree.remember()
    assert tree.is_gone("a.jpg")
    folder.rename(tmp_path / "away")
    assert not tree.is_gone("a.jpg")
    folder.mkdir()
    assert not tree.is_gone("a.jpg")
    assert tree.remember() == [""]
    assert tree.is_gone("a.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_what_cannot_be_read_is_not_gone(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    tree = OriginalsTree({"": tmp_path})
    tree.remember()
    (tmp_path / "closed").chmod(0)
    try:
        assert not tree.is_gone("closed/a.jpg")
    finally:
        (tmp_path / "closed").chmod(0o700)
