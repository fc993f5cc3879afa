"""Renditions that were made before: their names, the tiers that keep them, and single flight."""

from imgserve.cache.disk import DiskTier
from imgserve.cache.key import RenditionKey, image_folder
from imgserve.cache.keylocks import KeyLocks
from imgserve.cache.memory import MemoryTier
from imgserve.cache.singleflight import SingleFlight
from imgserve.cache.stats import TierStats
from imgserve.cache.tiered import TieredCache, TierName

__all__ = [
    "DiskTier",
    "KeyLocks",
    "MemoryTier",
    "RenditionKey",
    "SingleFlight",
    "TierName",
    "TierStats",
    "TieredCache",
    "image_folder",
]
