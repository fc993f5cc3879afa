"""The one door by which an original enters, changes or leaves."""

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

__all__ = ["Accepted", "Deleted", "Details", "Listener", "Purged", "Recorded", "Recording", "TrashItem"]
