"""The API of a running server, blocking and for asyncio. Importing it imports the network too."""

from imgserve.client.arguments import Changes, Details, Filters, FocalPoint, Listing, Step
from imgserve.client.clients import AsyncImgserve, Imgserve
from imgserve.client.errors import AnswerNotUnderstood, ServerUnreachable
from imgserve.client.files import File, Progress
from imgserve.client.records import (
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
from imgserve.client.transport import Retries
from imgserve.client.uploads import Upload

__all__ = [
    "AnswerNotUnderstood",
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
    "ServerUnreachable",
    "Similar",
    "Stats",
    "Step",
    "TagCount",
    "TrashItem",
    "Upload",
    "Uploaded",
    "Warmed",
]
