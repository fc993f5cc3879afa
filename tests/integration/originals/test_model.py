"""A folder of originals against a model: whatever is placed, discarded, restored, it holds what a dictionary does."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from imgserve.errors import BadImageId, ImageExists, ImageNotFound, TrashItemNotFound
from imgserve.originals.writable import WritableOriginals
from tests.folders import walked

IDS = st.sampled_from(["a", "a/b", "a/b/c", "a/d", "e", "e/é", ".x", "../y", "a//b", "caf\udce9"])
DATA = st.sampled_from([b"", b"one", b"two", b"longer"])
NUMBERS = st.integers(0, 20)


def possible(image_id: str) -> bool:
    return image_id in {"a", "a/b", "a/b/c", "a/d", "e", "e/é"}


class OriginalsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.originals = WritableOriginals(self.root)
        self.there: dict[str, bytes] = {}
        self.versions: dict[str, str] = {}
        self.trash: dict[str, tuple[str, bytes, int]] = {}
        self.gone: list[str] = []

    def in_the_way(self, image_id: str) -> bool:
        """Return whether a file is where a folder must be, or the other way round."""
        return any(image_id.startswith(f"{other}/") or other.startswith(f"{image_id}/") for other in self.there)

    def expected(self, image_id: str, *, replace: bool) -> type[Exception] | None:
        if not possible(image_id):
            return BadImageId
        if self.in_the_way(image_id) or (image_id in self.there and not replace):
            return ImageExists
        return None

    @rule(image_id=IDS, data=DATA, replace=st.booleans())
    def place(self, image_id: str, data: bytes, *, replace: bool) -> None:
        expected = self.expected(image_id, replace=replace)
        with self.originals.incoming() as incoming:
            incoming.write(data)
            if expected:
                with pytest.raises(expected):
                    self.originals.place(incoming, image_id, replace=replace)
                return
            version = self.originals.place(incoming, image_id, replace=replace)
        assert version != self.versions.get(image_id)
        self.there[image_id], self.versions[image_id] = data, version

    @rule(image_id=IDS, number=NUMBERS, keep=st.booleans())
    def delete(self, image_id: str, number: int, *, keep: bool) -> None:
        try:
            if keep:
                item = self.originals.discard(image_id, {"number": number})
            else:
                self.originals.remove(image_id)
        except ImageNotFound:
            assert image_id not in self.there
            return
        data = self.there.pop(image_id)
        del self.versions[image_id]
        if keep:
            self.trash[item] = (image_id, data, number)

    def item(self, number: int) -> str:
        items = [*self.trash, *self.gone, "no item"]
        return items[number % len(items)]

    @rule(number=NUMBERS)
    def restore(self, number: int) -> None:
        item = self.item(number)
        image_id, data, sidecar = self.trash.get(item, ("", b"", 0))
        try:
            trashed = self.originals.trash.restore(item)
        except TrashItemNotFound:
            assert item not in self.trash
        except ImageExists:
            assert self.expected(image_id, replace=False) is ImageExists
        else:
            assert (trashed.image_id, trashed.size, trashed.sidecar) == (image_id, len(data), {"number": sidecar})
            self.there[image_id] = data
            self.versions[image_id] = next(f.version for f in walked(self.root) if f.image_id == image_id)
            del self.trash[item]
            self.gone.append(item)

    @rule(number=NUMBERS)
    def destroy(self, number: int) -> None:
        item = self.item(number)
        try:
            self.originals.trash.destroy(item)
        except TrashItemNotFound:
            assert item not in self.trash
        else:
            del self.trash[item]
            self.gone.append(item)

    @rule()
    def sweep(self) -> None:
        assert self.originals.sweep() == 0

    @invariant()
    def the_folder_holds_what_the_model_does(self) -> None:
        found = {file.image_id: (self.root / file.image_id).read_bytes() for file in walked(self.root)}
        assert found == self.there
        assert list(found) == sorted(found)
        assert {file.image_id: file.version for file in walked(self.root)} == self.versions
        assert [trashed.item for trashed in self.originals.trash.items()] == sorted(self.trash)
        assert {trashed.item: trashed.image_id for trashed in self.originals.trash.items()} == {
            item: image_id for item, (image_id, _, _) in self.trash.items()
        }

    @invariant()
    def no_folder_is_empty_and_nothing_is_left(self) -> None:
        own = {".imgserve", "incoming", "trash"}
        assert not [
            path for path in self.root.rglob("*") if path.is_dir() and path.name not in own and not any(path.iterdir())
        ]
        incoming = self.root / ".imgserve/incoming"
        assert not incoming.exists() or not any(incoming.iterdir())

    def teardown(self) -> None:
        shutil.rmtree(self.root)


TestOriginalsMachine = OriginalsMachine.TestCase
TestOriginalsMachine.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
