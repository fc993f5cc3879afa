"""The disk tier against a model: whatever happens, no wrong bytes, an exact ledger, a budget kept."""

import itertools
import shutil
import tempfile
import zlib
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from imgserve.cache.disk import DiskTier
from imgserve.cache.files import UNKNOWN
from imgserve.cache.key import RenditionKey
from imgserve.model import Rendition

BUDGET = 5000
ENTRIES = 6
IMAGES = ["a", "b", "c\udcff"]
TEXTS = "xyz"

KEYS = st.builds(
    RenditionKey,
    st.sampled_from(IMAGES),
    st.just("1-2"),
    st.sampled_from(TEXTS),
    st.just("0"),
    st.just("png"),
)
DAMAGE = st.sampled_from(["empty", "cut", "flipped", "foreign", "gone"])


def picture(key: RenditionKey) -> bytes:
    """Equal keys, equal bytes: a file that is neither absent nor these bytes is a wrong one."""
    seed = zlib.crc32(key.path.encode())
    return b"\x89PNG\r\n\x1a\n" + seed.to_bytes(4, "big") * (100 + seed % 200) + b"IEND\xae\x42\x60\x82"


class DiskTierMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.tier = self.open()

    def open(self) -> DiskTier:
        return DiskTier(self.root, BUDGET, ENTRIES)

    @rule(keys=st.lists(KEYS, min_size=1, max_size=7))
    def put(self, keys: list[RenditionKey]) -> None:
        for key in keys:
            assert self.tier.put(key, Rendition(picture(key), "image/png", 4, 3))

    @rule(key=KEYS)
    def get(self, key: RenditionKey) -> None:
        before = (self.root / key.path).read_bytes() if (self.root / key.path).is_file() else None
        right = before if before == picture(key) else None
        at_once = self.tier.get_nonblocking(key)
        found = self.tier.get(key)
        assert (found.data if found else None) == right
        if at_once is not UNKNOWN:
            assert (at_once.data if at_once else None) == right

    @rule(key=KEYS)
    def inherit(self, key: RenditionKey) -> None:
        (self.root / key.path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key.path).write_bytes(picture(key))

    @rule(image_id=st.sampled_from(IMAGES))
    def purge(self, image_id: str) -> None:
        self.tier.purge(image_id)
        assert not any(self.tier.get(RenditionKey(image_id, "1-2", text, "0", "png")) for text in TEXTS)

    @rule()
    def evict(self) -> None:
        self.tier.evict_some()

    @rule(disaster=st.sampled_from(["restart", "restart", "crash", "lose ledger", "wipe", "purge all"]))
    def go_through(self, disaster: str) -> None:
        if disaster == "purge all":
            self.tier.purge(None)
            assert self.folder() == {}
        if disaster == "restart":
            self.tier.close()
        if disaster == "crash":
            # The kernel would do this; everything else of the old tier is forgotten as it is.
            self.tier._leader.release()
        if disaster in {"restart", "crash"}:
            self.tier = self.open()
        if disaster == "lose ledger":
            self.repair()
            for part in self.root.glob("ledger.sqlite*"):
                part.unlink()
        if disaster == "wipe":
            shutil.rmtree(self.root)

    @rule(keys=st.lists(KEYS, min_size=1, max_size=4), damage=DAMAGE)
    def damage(self, keys: list[RenditionKey], damage: str) -> None:
        for key in keys:
            self.damage_one(key, damage)

    def damage_one(self, key: RenditionKey, damage: str) -> None:
        place = self.root / key.path
        # What no ledger knows cannot be told from the right picture if only its middle is wrong.
        if not place.is_file() or not place.stat().st_size or not self.checked(key):
            return
        data = place.read_bytes()
        if damage == "gone":
            place.unlink()
            return
        flipped = data[:40] + bytes([data[40] ^ 1]) + data[41:] if len(data) > 40 else b""
        place.write_bytes({"empty": b"", "cut": data[:-1], "flipped": flipped, "foreign": b"GIF89a"}[damage])

    def repair(self) -> None:
        """Without its checksum nobody can tell a picture with a wrong bit in its middle from the right one."""
        for image_id, text in itertools.product(IMAGES, TEXTS):
            key = RenditionKey(image_id, "1-2", text, "0", "png")
            place = self.root / key.path
            if place.is_file() and place.stat().st_size == len(picture(key)):
                place.write_bytes(picture(key))

    def checked(self, key: RenditionKey) -> bool:
        entry = self.tier._ledger.find(key.path)
        return entry is not None and entry.crc32 is not None

    @rule()
    def maintain(self) -> None:
        self.tier.maintain()
        assert self.tier.stats().bytes <= BUDGET
        assert self.tier.stats().entries <= ENTRIES

    @rule()
    def scan(self) -> None:
        for _ in self.tier.scan():
            pass
        assert self.ledger() == self.folder()
        self.maintain()
        assert self.ledger() == self.folder()

    @invariant()
    def totals_are_the_sums_of_the_rows(self) -> None:
        rows = self.ledger()
        assert (self.tier.stats().entries, self.tier.stats().bytes) == (len(rows), sum(rows.values()))

    @invariant()
    def nothing_half_written_stays(self) -> None:
        assert not list((self.root / ".tmp").glob("*"))

    def ledger(self) -> dict[str, int]:
        rows, folder = dict[str, int](), self.tier._ledger.next_folder("")
        while folder is not None:
            rows |= {entry.path: entry.size for entry in self.tier._ledger.sorted_by("original", folders=[folder])}
            folder = self.tier._ledger.next_folder(folder)
        return rows

    def folder(self) -> dict[str, int]:
        files = (path for path in (self.root / "renditions").rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.stat().st_size for path in files}

    def teardown(self) -> None:
        self.tier.close()
        shutil.rmtree(self.root, ignore_errors=True)


TestDiskTier = DiskTierMachine.TestCase
TestDiskTier.settings = settings(
    max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
