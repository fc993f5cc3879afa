"""Pictures fetched from addresses that clients name: guarded, bounded, never from inside the own network."""

from imgserve.download.downloader import Downloader, Fetched, FetchRules
from imgserve.download.guard import Resolve, resolve
from imgserve.download.networks import Networks

__all__ = ["Downloader", "FetchRules", "Fetched", "Networks", "Resolve", "resolve"]
