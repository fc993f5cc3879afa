"""Downloads of pictures from URLs that clients name, limited in size and time, and never from the private network."""

from imgserve.download.downloader import Downloader, FetchRules
from imgserve.download.networks import Networks, Resolve, resolve

__all__ = ["Downloader", "FetchRules", "Networks", "Resolve", "resolve"]
