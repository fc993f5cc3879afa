"""The client library: addresses of pictures and the HTML that shows them. Nothing of the server is imported."""

from imgserve.client.images import ImageUrls
from imgserve.client.ladder import width_ladder
from imgserve.client.markup import Html
from imgserve.client.parameters import Parameters

__all__ = ["Html", "ImageUrls", "Parameters", "width_ladder"]
