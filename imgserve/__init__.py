"""imgserve: an on-demand resizing image CDN origin server."""

__version__ = "0.1.0"
