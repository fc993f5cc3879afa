"""The one door by which an original enters, changes or leaves."""

from imgserve.services.ingest.door import Ingest
from imgserve.services.ingest.inspecting import Inspector
from imgserve.services.ingest.means import Inspect, Rules
from imgserve.services.ingest.purging import PresetKeys
from imgserve.services.ingest.results import (
    Accepted,
    Deleted,
    Details,
    Listener,
    Purged,
    Recorded,
    Recording,
    TrashItem,
)

__all__ = [
    "Accepted",
    "Deleted",
    "Details",
    "Ingest",
    "Inspect",
    "Inspector",
    "Listener",
    "PresetKeys",
    "Purged",
    "Recorded",
    "Recording",
    "Rules",
    "TrashItem",
]
