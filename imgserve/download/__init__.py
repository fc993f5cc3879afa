"""Pictures fetched from addresses that clients name: guarded, bounded, never from inside the own network."""

from imgserve.download.downloader import Downloader, Fetched, FetchRules
from imgserve.download.networks import Networks
from imgserve.download.resolve import Resolve, resolve

__all__ = ["Downloader", "FetchRules", "Fetched", "Networks", "Resolve", "resolve"]
