"""The client library: URLs of pictures and the HTML that shows them. `imgserve.client.api` calls a server."""

from imgserve.client.parameters import Parameters
from imgserve.client.srcset import width_ladder
from imgserve.client.urls import Html, ImageUrls

__all__ = ["Html", "ImageUrls", "Parameters", "width_ladder"]
