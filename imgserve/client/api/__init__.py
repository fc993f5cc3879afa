"""The API of a running server, blocking and for asyncio. Not in the face above: it brings the network along."""

from imgserve.client.api.asking import Changes, Details, Filters, FocalPoint, Listing, Step
from imgserve.client.api.async_client import AsyncImgserve
from imgserve.client.api.client import Imgserve
from imgserve.client.api.files import File, Progress
from imgserve.client.api.many import Upload
from imgserve.client.api.records import (
    Deleted,
    Image,
    Made,
    Picture,
    Point,
    Problem,
    Purged,
    Sent,
    Similar,
    Stats,
    TagCount,
    TrashItem,
    Uploaded,
    Warmed,
)
from imgserve.client.api.retrying import Retries

__all__ = [
    "AsyncImgserve",
    "Changes",
    "Deleted",
    "Details",
    "File",
    "Filters",
    "FocalPoint",
    "Image",
    "Imgserve",
    "Listing",
    "Made",
    "Picture",
    "Point",
    "Problem",
    "Progress",
    "Purged",
    "Retries",
    "Sent",
    "Similar",
    "Stats",
    "Step",
    "TagCount",
    "TrashItem",
    "Upload",
    "Uploaded",
    "Warmed",
]
