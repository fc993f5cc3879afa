"""Renditions that were made before and what they are made from: names, the tiers that keep them, single flight."""

from imgserve.cache.at_once import UNKNOWN, Unknown
from imgserve.cache.disk import DiskTier
from imgserve.cache.janitor import Janitor
from imgserve.cache.key import RenditionKey, image_folder
from imgserve.cache.keylocks import KeyLocks
from imgserve.cache.memory import MemoryTier
from imgserve.cache.mezzanines import MezzanineTier
from imgserve.cache.siblings import Sibling
from imgserve.cache.singleflight import SingleFlight
from imgserve.cache.stats import TierStats
from imgserve.cache.tiered import TieredCache, TierName

__all__ = [
    "UNKNOWN",
    "DiskTier",
    "Janitor",
    "KeyLocks",
    "MemoryTier",
    "MezzanineTier",
    "RenditionKey",
    "Sibling",
    "SingleFlight",
    "TierName",
    "TierStats",
    "TieredCache",
    "Unknown",
    "image_folder",
]
