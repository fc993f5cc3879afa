"""The mezzanine tier against a model: whatever happens, no wrong file, an exact ledger, a budget kept."""

import itertools
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from imgserve.cache.disk import MezzanineTier
from imgserve.cache.key import MEZZANINES, RenditionKey

BUDGET = 4000
IMAGES = "abc"
TEXTS = "xyz"
KEYS = st.builds(
    RenditionKey, st.sampled_from(IMAGES), st.just("1-2"), st.sampled_from(TEXTS), st.just("0"), st.just("raw")
)


class MezzanineTierMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.tier = MezzanineTier(self.root, BUDGET)
        self.sizes = itertools.count(600)
        self.wanted: dict[RenditionKey, int] = {}

    @rule(key=KEYS, dropped=st.booleans())
    def keep(self, key: RenditionKey, dropped: bool) -> None:
        place, size = self.tier.place(), next(self.sizes)
        assert place
        place.write_bytes(b"m" * size)
        if dropped:
            self.tier.withdraw(place)
            return
        assert self.tier.adopt(key, place)
        self.wanted[key] = size
        assert self.tier.locate(key)

    @rule(key=KEYS)
    def locate(self, key: RenditionKey) -> None:
        place = self.tier.locate(key)
        assert place is None or place.stat().st_size == self.wanted[key]

    @rule(key=KEYS)
    def discard(self, key: RenditionKey) -> None:
        self.tier.discard(key)
        assert self.tier.locate(key) is None

    @rule(image_id=st.sampled_from(IMAGES))
    def purge(self, image_id: str) -> None:
        self.tier.purge(image_id)
        assert not any(self.tier.locate(RenditionKey(image_id, "1-2", text, "0", "raw")) for text in TEXTS)

    @rule(key=KEYS, damage=st.sampled_from(["gone", "cut", "inherited"]))
    def damage(self, key: RenditionKey, damage: str) -> None:
        place = self.root / key.path_in(MEZZANINES)
        if damage == "gone":
            place.unlink(missing_ok=True)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"wrong")
        assert self.tier.locate(key) is None

    @rule(disaster=st.sampled_from(["restart", "lose ledger", "wipe", "purge all"]))
    def go_through(self, disaster: str) -> None:
        if disaster == "restart":
            self.tier.close()
            self.tier = MezzanineTier(self.root, BUDGET)
        if disaster == "lose ledger":
            for part in self.root.glob("mezzanines.sqlite*"):
                part.unlink()
        if disaster == "wipe":
            shutil.rmtree(self.root)
        if disaster == "purge all":
            self.tier.purge(None)
            assert self.folder() == (0, 0)

    @rule()
    def scan(self) -> None:
        for _ in self.tier.scan():
            pass
        self.tier.maintain()
        assert (self.tier.stats().entries, self.tier.stats().bytes) == self.folder()

    @invariant()
    def the_budget_is_kept_and_nothing_half_written_stays(self) -> None:
        assert self.tier.stats().bytes <= BUDGET
        assert not list((self.root / ".tmp").glob("*"))

    def folder(self) -> tuple[int, int]:
        sizes = [path.stat().st_size for path in (self.root / MEZZANINES).rglob("*") if path.is_file()]
        return len(sizes), sum(sizes)

    def teardown(self) -> None:
        self.tier.close()
        shutil.rmtree(self.root, ignore_errors=True)


TestMezzanineTier = MezzanineTierMachine.TestCase
TestMezzanineTier.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
