"""What a cache tier tells about itself. Publishing it as metrics is for the layers above."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TierStats:
    """One tier at one moment; hits to errors count since this process started."""

    entries: int = 0
    bytes: int = 0
    limit_bytes: int = 0
    """The budget; 0 means that the tier is off."""
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    errors: int = 0
    mine: bool = True
    """This process answers for the tier: of those that share a disk tier, the janitor."""
    degraded: bool = False
    """The tier fails right now; requests are answered without it."""


class Tally:
    """Counts hits, misses and evictions; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    def looked_up(self, *, found: bool) -> None:
        """Count one look-up as a hit or a miss."""
        with self._lock:
            if found:
                self.hits += 1
            else:
                self.misses += 1

    def evicted(self, number: int) -> None:
        """Count renditions that had to go for space."""
        with self._lock:
            self.evictions += number
