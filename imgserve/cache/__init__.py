"""Renditions that were made before and what they are made from: names, the tiers that keep them, single flight."""

from imgserve.cache.disk import DiskTier, MezzanineTier
from imgserve.cache.files import UNKNOWN, Unknown
from imgserve.cache.key import RenditionKey, Sibling, image_folder, is_rendition_name
from imgserve.cache.locks import KeyLocks, LeaderLock, SingleFlight
from imgserve.cache.memory import FailureCache, MemoryTier
from imgserve.cache.stats import TierStats
from imgserve.cache.tiers import TieredCache, TierName

__all__ = [
    "UNKNOWN", "DiskTier", "FailureCache", "KeyLocks", "LeaderLock", "MemoryTier", "MezzanineTier", "RenditionKey",
    "Sibling", "SingleFlight", "TierName", "TierStats", "TieredCache", "Unknown", "image_folder", "is_rendition_name",
]  # fmt: skip
