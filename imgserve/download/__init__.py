"""Downloads of pictures from URLs that clients name, limited in size and time, and never from the private network."""

from imgserve.download.downloader import Downloader, Fetched, FetchRules
from imgserve.download.networks import Networks, Resolve, resolve

__all__ = ["Downloader", "FetchRules", "Fetched", "Networks", "Resolve", "resolve"]
